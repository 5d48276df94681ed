/** Sizes canvases for sharp lines, and resolves the colours of the style sheet for them. */

const MOST_RATIO = 3;

/**
 * Give a canvas as many pixels as the screen has where it lies.
 *
 * @returns {{context: CanvasRenderingContext2D, width: number, height: number}} cleared; units are CSS pixels.
 */
export function prepare(canvas) {
  const ratio = Math.min(window.devicePixelRatio || 1, MOST_RATIO);
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  const [pixelWidth, pixelHeight] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== pixelWidth || canvas.height !== pixelHeight) {
    canvas.width = pixelWidth;
    canvas.height = pixelHeight;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/** Return the present value of each named colour, by name. */
export function palette(names) {
  const probe = document.body.appendChild(document.createElement("i"));
  const colours = {};
  for (const name of names) {
    probe.style.color = `var(--${name})`;
    colours[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return colours;
}
