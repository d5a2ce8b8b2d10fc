//! The schemas that editors are given are those of the documents.

use std::path::Path;

/// Writes them instead.
const WRITE: &str = "ROSTER_WRITE_SCHEMAS";

#[test]
fn the_schemas_of_the_documents_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas");
    for (name, schema) in [
        ("custom-nodes.schema.json", installer::nodes_schema()),
        ("models.schema.json", installer::models_schema()),
    ] {
        let (path, text) = (folder.join(name), format!("{schema:#}\n"));
        if std::env::var_os(WRITE).is_some() {
            std::fs::write(&path, &text).expect("the folder of the schemas can be written to");
        }
        let current = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(current, text, "{name}: type `{WRITE}=1 cargo test -p roster-installer --test schemas`");
    }
}
