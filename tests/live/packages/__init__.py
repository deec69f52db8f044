"""The wheel, the Debian package and the image, installed where nothing else is."""
