"""The pages, a module each; `contents` has them all."""
