//! The whole text of a few projects. `UPDATE_GOLDENS=1 cargo test -p roster-compose-gen` writes them anew; read the
//! difference before you commit it.

use std::{env, fs, path::Path};

mod fixtures;

#[test]
fn the_files_are_those_that_were_reviewed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let update = env::var_os("UPDATE_GOLDENS").is_some();
    for (name, project) in fixtures::told() {
        let path = folder.join(format!("{name}.yaml"));
        let text = compose_gen::lower(&project).expect("nothing collides");
        if update {
            fs::write(&path, text).unwrap();
        } else {
            let golden = fs::read_to_string(&path).unwrap_or_default();
            assert!(text == golden, "{} differs from what is written now:\n{text}", path.display());
        }
    }
}
