//! Any bytes as a `.expert` package: opened or refused, never a panic, and nothing is unpacked.
#![no_main]

use expert_cli::package::Package;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(folder) = tempfile::tempdir() else { return };
    let path = folder.path().join("input.expert");
    if std::fs::write(&path, bytes).is_err() {
        return;
    }
    if let Ok(package) = Package::open(&path) {
        assert!(package.entries().iter().filter_map(|entry| entry.name.as_deref()).all(|name| !name.contains("..")));
    }
    assert_eq!(std::fs::read_dir(folder.path()).map(Iterator::count).unwrap_or_default(), 1, "something was written");
});
