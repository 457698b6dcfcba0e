// The two of several pictures that differ most, by their mean squared difference, whole, in tiles so that the memory
// stays small. The server says it of the samples of one job; this is for samples of several.

const TILE = 256;

const pairsOf = (count) => Array.from({ length: count }, (_, i) => Array.from({ length: i }, (_, j) => [j, i])).flat();
const breathe = () => new Promise((resume) => setTimeout(resume));

function squared(first, second) {
  let sum = 0;
  for (let place = 0; place < first.length; place++) sum += (first[place] - second[place]) ** 2;
  return sum;
}

// The places of the two among the images, which have one size; null when `isOver` says that nobody asks any more.
export async function mostApart(images, isOver) {
  const { naturalWidth: width, naturalHeight: height } = images[0];
  const context = new OffscreenCanvas(TILE, TILE).getContext("2d", { willReadFrequently: true });
  const pairs = pairsOf(images.length);
  const sums = pairs.map(() => 0);
  for (let top = 0; top < height; top += TILE) {
    for (let left = 0; left < width; left += TILE) {
      const tiles = images.map((image) => {
        context.clearRect(0, 0, TILE, TILE);
        context.drawImage(image, -left, -top);
        return context.getImageData(0, 0, TILE, TILE).data;
      });
      for (const [number, [i, j]] of pairs.entries()) sums[number] += squared(tiles[i], tiles[j]);
      await breathe();
      if (isOver()) return null;
    }
  }
  return pairs[sums.indexOf(Math.max(...sums))];
}
