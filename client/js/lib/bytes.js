/** Bytes that come in pieces. */

/** Join pieces; `size` is the number of bytes of all of them. */
export function joined(pieces, size) {
  if (pieces.length === 1) return pieces[0];
  const found = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    found.set(piece, at);
    at += piece.length;
  }
  return found;
}
