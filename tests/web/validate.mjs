// Validate a glTF file: node validate.mjs FOLDER FILE. FOLDER has node_modules with gltf-validator. Prints the report.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const [folder, file] = process.argv.slice(2);
const validator = createRequire(`${resolve(folder)}/`)("gltf-validator");
process.stdout.write(JSON.stringify(await validator.validateBytes(new Uint8Array(readFileSync(file)))));
