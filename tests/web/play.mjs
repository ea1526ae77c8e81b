// Play an animated glTF file in three.js: node play.mjs FOLDER FILE TIME...
// FOLDER has node_modules with three. Prints the corners of all triangles at each time, shape (T, 3, 3), and the duration.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, file, ...times] = process.argv.slice(2);
const load = (path) => import(pathToFileURL(resolve(folder, "node_modules/three", path)).href);
const three = await load("build/three.module.js");
const { GLTFLoader } = await load("examples/jsm/loaders/GLTFLoader.js");
globalThis.self = globalThis; // the loader looks for URL in it

// Without a browser textures stay empty; their pixels are not part of the motion.
three.TextureLoader.prototype.load = (_url, done) => done(new three.Texture());
const content = readFileSync(file);
const buffer = content.buffer.slice(content.byteOffset, content.byteOffset + content.byteLength);
const gltf = await new GLTFLoader().parseAsync(buffer, "");
const mixer = new three.AnimationMixer(gltf.scene);
const actions = gltf.animations.map((clip) => mixer.clipAction(clip).setLoop(three.LoopOnce));

function corners() {
  const out = [];
  gltf.scene.updateMatrixWorld(true);
  gltf.scene.traverse((mesh) => {
    if (!mesh.isMesh) return;
    const place = new three.Vector3();
    for (const vertex of mesh.geometry.index.array) {
      mesh.getVertexPosition(vertex, place).applyMatrix4(mesh.matrixWorld);
      out.push(place.x, place.y, place.z);
    }
  });
  return out;
}

const frames = times.map((time) => {
  for (const action of actions) action.reset().play().clampWhenFinished = true;
  mixer.setTime(Number(time));
  return corners();
});
process.stdout.write(JSON.stringify({ duration: gltf.animations[0]?.duration ?? 0, frames }));
