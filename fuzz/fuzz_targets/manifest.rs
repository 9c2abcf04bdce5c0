//! Any JSON as a manifest: its problems are listed; what has no errors can be read, set and written.
#![no_main]

use expert_cli::manifest::{Manifest, Severity, check};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(raw) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    let sound = check(&raw).iter().all(|finding| finding.severity != Severity::Error);
    match Manifest::from_value(raw) {
        Ok(manifest) => {
            assert!(sound, "a manifest with errors was read");
            for entry in manifest.base_models() {
                let _ = manifest.training_config_for(entry);
            }
            assert!(manifest.to_text().is_ok());
        }
        Err(_) => assert!(!sound, "a manifest without errors was refused"),
    }
});
