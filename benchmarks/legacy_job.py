# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""A morph with the legacy interface: python benchmarks/legacy_job.py SOURCE TARGET [--episodes 25] [--verbose].

Prints the ratio of final to initial mass loss and the seconds of optimisation, without loading.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings

import diffmpm as dm


def set_up(source: str, target: str) -> tuple[dm.CompGraph, dm.OptInput]:
    opt = dm.OptInput(mpm_input_mesh_path=source, mpm_target_mesh_path=target)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dm.MeshWarning)  # the bunny has holes
        body = dm.load_point_cloud_from_obj(opt.mpm_input_mesh_path, opt)
        goal = dm.load_point_cloud_from_obj(opt.mpm_target_mesh_path, opt)
    body_grid, goal_grid = dm.Grid.from_options(opt), dm.Grid.from_options(opt)
    dm.p2g(body, body_grid)
    dm.p2g(goal, goal_grid)
    return dm.CompGraph(body, body_grid, goal_grid), opt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--episodes", type=int, default=25)
    parser.add_argument("--verbose", action="store_true", help="print every episode")
    args = parser.parse_args()
    begin = time.perf_counter()
    graph, opt = set_up(args.source, args.target)
    loading = time.perf_counter() - begin
    start = graph.end_layer_mass_loss()
    begin, cpu = time.perf_counter(), time.process_time()
    loss = start
    for episode in range(args.episodes):
        opt.current_episodes = episode
        loss = graph.run_optimization(opt)
        if args.verbose:
            print(f"episode {episode:3d}  loss {loss:9.2f}  {100 * loss / start:6.2f} %", flush=True)
        if episode + 1 < args.episodes:
            graph.promote_last_as_initial()
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    print(
        json.dumps(
            {
                "particles": len(graph.get_point_cloud(0)),
                "episodes": args.episodes,
                "loss_ratio": round(loss / start, 5),
                "seconds": round(seconds, 2),
                "cpu_seconds": round(cpu, 2),
                "seconds_loading": round(loading, 2),
                "threads": dm.get_num_threads(),
            }
        )
    )


if __name__ == "__main__":
    main()
