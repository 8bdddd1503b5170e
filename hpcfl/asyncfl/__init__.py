"""The JSON files of Async-FL (github desperadoccy/async-FL): what they mean as jobs."""
