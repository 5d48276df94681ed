"""Pictures to model inputs: `letterbox` scales, converts and pads in as few passes over the pixels as possible."""
