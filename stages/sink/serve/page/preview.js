/** Takes apart a message of the preview: length of the record (4 bytes, big-endian), the record, the JPEG. */

/** Return {record, jpeg}; throws when the message is not one. */
export function previewFromBuffer(buffer) {
  const length = new DataView(buffer).getUint32(0);
  if (length > buffer.byteLength - 4) throw new RangeError("a preview message is shorter than it says");
  const record = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  return { record, jpeg: new Blob([new Uint8Array(buffer, 4 + length)], { type: "image/jpeg" }) };
}
