//! The three names that come from a base model's name: its last component, the weights folder, the package file.

/// The last component of a model name or path; both separators count, trailing ones do not.
pub fn last_component(name: &str) -> &str {
    let name = name.trim_end_matches(['/', '\\']);
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

/// The folder under `weights/` of a base model: lower-case, dots removed, `_` becomes `-` (upstream `trainer.py:166`):
/// `Qwen3-0.6B` → `qwen3-06b`.
pub fn weights_dir_name(name: &str) -> String {
    last_component(name).to_lowercase().replace('.', "").replace('_', "-")
}

/// The package's file name. v2 (upstream `package.rs:478`): `expert-sql-qwen3-0-6b.v0.3.0.expert`, where `.` and `_` of
/// the model's last component become `-`.
pub fn package_file_name(expert: &str, version: &str, model: &str) -> String {
    let model = last_component(model).to_lowercase().replace(['.', '_'], "-");
    format!("{expert}-{model}.v{version}.expert")
}

/// The file name of a v1 manifest's package: `.` and `-` of the model are removed, `expert-json-qwen306b.v0.1.0.expert`.
pub fn package_file_name_v1(expert: &str, version: &str, model: &str) -> String {
    let model = last_component(model).to_lowercase().replace(['.', '-'], "");
    format!("{expert}-{model}.v{version}.expert")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_separators_end_in_the_same_names() {
        for name in ["Qwen3-0.6B", "Qwen/Qwen3-0.6B", "F:/Node/models/Qwen3-0.6B", r"F:\Node\models\Qwen3-0.6B\"] {
            assert_eq!(last_component(name), "Qwen3-0.6B");
            assert_eq!(weights_dir_name(name), "qwen3-06b");
            assert_eq!(package_file_name("expert-sql", "0.3.0", name), "expert-sql-qwen3-0-6b.v0.3.0.expert");
            assert_eq!(package_file_name_v1("expert-sql", "0.3.0", name), "expert-sql-qwen306b.v0.3.0.expert");
        }
        assert_eq!(package_file_name("e", "1.0.0", "My_Model.v2"), "e-my-model-v2.v1.0.0.expert");
    }
}
