"""Images for tests: pixels, image files, strokes of a hand, and the page that they are drawn on."""
