// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT

// Shared by both vertex shaders. Lengths are fractions of the longest edge of the data; the camera is that of camera.js.
const COMMON = `#version 300 es
precision highp float;
precision highp int;
precision highp usampler2D;
uniform mat3 view;      // data to camera axes
uniform vec3 eye;
uniform float focal;    // [px]
uniform vec2 size;      // of the window [px]
uniform vec2 center;    // principal point [px], y down
uniform float unit;     // quantisation step of a position
const float NEAR = 0.003;  // distance of the near plane

// Normalised device coordinates of a point in camera axes.
vec2 project(vec3 p) {
  vec2 at = 2.0 * (center + focal * p.xy / p.z) / size - 1.0;
  return vec2(at.x, -at.y);
}
`;

// Each Gaussian is a rectangle around its ellipse (docs/method.md, section 6; EWA projection of Zwicker et al. 2002).
const SPLAT_VERTEX = `${COMMON}
uniform usampler2D splats;
uniform sampler2D normals;
uniform float largest;  // largest entry of a root
uniform bool lit;
uniform mat3 stage;     // rows: right, up, and horizontally towards the camera
in uint index;
flat out vec4 paint;
out vec2 offset;        // from the centre, in standard deviations
const float DILATION = 0.3;           // variance [px^2] of the pixel filter
const float MARGIN = 0.15;            // margin around the window, over its size, where the projection is clamped
const float LEAST = 1.0 / 255.0;      // smallest visible opacity
// Studio light as in diffmpm/view/studio.py, without occlusion by the body; directions in stage axes.
const vec3 KEY = vec3(-0.458, 0.733, 0.504), FILL = vec3(0.874, 0.257, 0.411), RIM = vec3(0.450, 0.450, -0.771);
const vec3 KEY_LIGHT = vec3(1.16, 1.12, 1.06), FILL_LIGHT = vec3(0.07, 0.085, 0.11), RIM_LIGHT = vec3(0.42, 0.44, 0.48);
const vec3 SKY = vec3(0.17, 0.19, 0.23), FLOOR = vec3(0.15, 0.14, 0.13);
const float SOFTNESS = 0.15, FALLOFF = 1.25, SPECULAR = 0.22, SHOULDER = 0.76, DESATURATION = 0.15;

struct Splat { vec3 mean; mat3 root; vec4 paint; };

// An entry of the root from one of the four bytes of a word.
float entry(uint word, int byte) {
  float k = float(int(word << (24 - 8 * byte)) >> 24) / 127.0;
  return k * abs(k) * largest;
}

ivec2 texel() {
  int width = textureSize(splats, 0).x;
  return ivec2(int(index) % width, int(index) / width);
}

Splat read() {
  uvec4 t = texelFetch(splats, texel(), 0);
  float xx = entry(t.y, 2), xy = entry(t.y, 3), xz = entry(t.z, 0);
  float yy = entry(t.z, 1), yz = entry(t.z, 2), zz = entry(t.z, 3);
  vec4 bytes = vec4(t.w & 255u, (t.w >> 8) & 255u, (t.w >> 16) & 255u, t.w >> 24);
  return Splat(unit * vec3(t.x & 65535u, t.x >> 16, t.y & 65535u), mat3(xx, xy, xz, xy, yy, yz, xz, yz, zz), bytes / 255.0);
}

// Unit vector from its octahedral encoding (Cigolle et al. 2014).
vec3 unfold() {
  vec2 at = texelFetch(normals, texel(), 0).xy;
  float z = 1.0 - abs(at.x) - abs(at.y);
  return normalize(vec3(z < 0.0 ? (1.0 - abs(at.yx)) * mix(vec2(-1.0), vec2(1.0), greaterThanEqual(at, vec2(0.0))) : at, z));
}

float diffuse(vec3 n, vec3 light) {
  return pow(max((dot(n, light) + SOFTNESS) / (1.0 + SOFTNESS), 0.0), FALLOFF);
}

float lobe(vec3 mirrored, vec3 light, float strength, float sharp) {
  return strength * exp(sharp * (dot(mirrored, light) - 1.0));
}

vec3 linear(vec3 c) {
  return mix(pow((c + 0.055) / 1.055, vec3(2.4)), c / 12.92, lessThanEqual(c, vec3(0.04045)));
}

vec3 display(vec3 c) {
  vec3 light = clamp(c, 0.0, 1.0);
  return mix(1.055 * pow(light, vec3(1.0 / 2.4)) - 0.055, 12.92 * light, lessThanEqual(light, vec3(0.0031308)));
}

// Khronos PBR neutral tone mapper.
vec3 toneMapped(vec3 color) {
  float peak = max(color.r, max(color.g, color.b)), room = 1.0 - SHOULDER;
  if (peak < SHOULDER) return color;
  float compressed = 1.0 - room * room / (peak + room - SHOULDER);
  return mix(vec3(compressed), color * compressed / peak, 1.0 / (DESATURATION * (peak - compressed) + 1.0));
}

// Normals on the outline may point away from the eye; tilting them until they are perpendicular to the view direction keeps
// the shading continuous.
vec3 shade(vec3 albedo, vec3 normal, vec3 towards) {
  vec3 n = stage * normalize(normal - min(dot(normal, towards), 0.0) * towards), v = stage * towards;
  float above = 0.5 + 0.5 * n.y, facing = clamp(dot(n, v), 0.0, 1.0);
  vec3 light = diffuse(n, KEY) * KEY_LIGHT + diffuse(n, FILL) * FILL_LIGHT + diffuse(n, RIM) * RIM_LIGHT;
  light += above * SKY + (1.0 - above) * FLOOR;
  vec3 mirrored = 2.0 * facing * n - v;
  float shine = 2.5 * clamp(0.5 + 0.6 * mirrored.y, 0.0, 1.0) + lobe(mirrored, KEY, 32.0, 60.0);
  shine += lobe(mirrored, KEY, 9.0, 10.0) + lobe(mirrored, RIM, 5.5, 10.0);
  float reflected = (0.04 + 0.50 * pow(1.0 - facing, 5.0)) * SPECULAR;
  return display(toneMapped(linear(albedo) * light + reflected * shine));
}

void main() {
  Splat splat = read();
  vec3 p = view * (splat.mean - eye);
  paint = splat.paint;
  if (lit) paint.rgb = shade(paint.rgb, unfold(), normalize(eye - splat.mean));
  gl_Position = vec4(0.0, 0.0, 2.0, 1.0);  // clipped unless visible
  offset = vec2(0.0);
  if (p.z < NEAR || paint.a < LEAST) return;
  // Covariance in pixels: J V J^T with the Jacobian J of the projection at the mean.
  mat3 half_ = view * splat.root;
  vec2 slope = clamp(p.xy / p.z, -(center + MARGIN * size) / focal, (size - center + MARGIN * size) / focal);
  vec3 jx = focal / p.z * vec3(1.0, 0.0, -slope.x) * half_;
  vec3 jy = focal / p.z * vec3(0.0, 1.0, -slope.y) * half_;
  float xx = dot(jx, jx) + DILATION, xy = dot(jx, jy), yy = dot(jy, jy) + DILATION;
  // Axes of the ellipse, and the visible extent along them.
  float middle = 0.5 * (xx + yy), radius = length(vec2(0.5 * (xx - yy), xy));
  float first = middle + radius, second = max(middle - radius, DILATION);
  vec2 axis = abs(xy) > 1e-6 * first ? normalize(vec2(xy, first - xx)) : (xx >= yy ? vec2(1.0, 0.0) : vec2(0.0, 1.0));
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.0 - 1.0;
  offset = corner * sqrt(2.0 * log(paint.a / LEAST));
  vec2 pixels = offset.x * sqrt(first) * axis + offset.y * sqrt(second) * vec2(-axis.y, axis.x);
  gl_Position = vec4(project(p) + 2.0 * vec2(pixels.x, -pixels.y) / size, 0.0, 1.0);
}
`;

const SPLAT_FRAGMENT = `#version 300 es
precision highp float;
flat in vec4 paint;
in vec2 offset;
out vec4 color;
void main() {
  float alpha = min(paint.a * exp(-0.5 * dot(offset, offset)), 0.999);
  if (alpha < 1.0 / 255.0) discard;
  color = vec4(paint.rgb * alpha, alpha);
}
`;

// Each particle is a small ball.
const PARTICLE_VERTEX = `${COMMON}
uniform float radius;
uniform float fraction; // weight of the later frame
in vec3 earlier, later, tint;
flat out vec3 paint;
void main() {
  vec3 p = view * (unit * mix(earlier, later, fraction) - eye);
  paint = tint;
  bool visible = p.z > NEAR;
  gl_Position = visible ? vec4(project(p), p.z / (1.0 + p.z) * 2.0 - 1.0, 1.0) : vec4(0.0, 0.0, 2.0, 1.0);
  gl_PointSize = max(2.0 * radius * focal / p.z, 1.5);
}
`;

const PARTICLE_FRAGMENT = `#version 300 es
precision highp float;
flat in vec3 paint;
out vec4 color;
const vec3 LIGHT = vec3(-0.42, -0.62, -0.66);  // direction of the light in camera axes
void main() {
  vec2 at = 2.0 * gl_PointCoord - 1.0;
  float inside = 1.0 - dot(at, at);
  if (inside < 0.0) discard;
  float lit = max(dot(vec3(at, -sqrt(inside)), LIGHT), 0.0);
  color = vec4(min(paint * (0.5 + 0.62 * lit), 1.0), 1.0);
}
`;
