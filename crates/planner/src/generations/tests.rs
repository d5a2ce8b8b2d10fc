use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

fn set(env: &str, secret: Option<&str>) -> Artefacts {
    let mut artefacts = Artefacts::default();
    artefacts.add(".env", env);
    artefacts.add("docker-compose.yaml", format!("# {env}"));
    artefacts.add("ecosystem.json", "{}");
    if let Some(secret) = secret {
        artefacts.add(".env.secret", secret);
        artefacts.add("secrets/TOKEN", secret);
    }
    artefacts
}

fn switched(written: Written) -> GenerationId {
    match written {
        Written::Switched { to, .. } => to,
        Written::NoChange(id) => panic!("{id} was in force already"),
    }
}

#[test]
fn a_generation_is_seen_through_the_links_and_building_it_again_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::new(root.path());
    let id = switched(store.write(&set("A=1\n", Some("s")), false).unwrap());
    assert_eq!(fs::read_to_string(root.path().join(".env")).unwrap(), "A=1\n");
    assert_eq!(store.write(&set("A=1\n", Some("s")), false).unwrap(), Written::NoChange(id));
}

#[test]
fn secrets_are_for_their_owner_and_public_files_are_read_only() {
    let root = tempfile::tempdir().unwrap();
    Store::new(root.path()).write(&set("A=1\n", Some("s")), false).unwrap();
    let mode = |path: &str| fs::metadata(root.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(".env.secret"), 0o600);
    assert_eq!(mode(".roster/current/secrets"), 0o700);
    assert_eq!(mode(".env"), 0o444);
    assert_eq!(fs::read_to_string(root.path().join(".roster/.gitignore")).unwrap(), "*\n");
}

#[test]
fn a_set_without_secrets_leaves_no_secret_link_behind() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::new(root.path());
    store.write(&set("A=1\n", Some("s")), false).unwrap();
    store.write(&set("A=2\n", None), false).unwrap();
    assert!(root.path().join(".env.secret").symlink_metadata().is_err());
}

#[test]
fn every_file_of_others_is_named_and_none_is_touched() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join(".env"), "mine").unwrap();
    symlink("elsewhere", root.path().join("ecosystem.json")).unwrap();
    let errors = Store::new(root.path()).write(&set("A=1\n", None), false).unwrap_err();
    assert_eq!(errors.len(), 2);
    assert!(errors.iter().all(|it| matches!(it, StoreError::Foreign { .. })), "{errors:?}");
    assert_eq!(fs::read_to_string(root.path().join(".env")).unwrap(), "mine");
    assert!(!root.path().join(".roster").exists());
}

#[test]
fn force_keeps_a_file_of_others_under_another_name() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join(".env"), "mine").unwrap();
    fs::write(root.path().join(".env.before-roster"), "older").unwrap();
    Store::new(root.path()).write(&set("A=1\n", None), true).unwrap();
    assert_eq!(fs::read_to_string(root.path().join(".env.before-roster-2")).unwrap(), "mine");
    assert_eq!(fs::read_to_string(root.path().join(".env.before-roster")).unwrap(), "older");
    assert_eq!(fs::read_to_string(root.path().join(".env")).unwrap(), "A=1\n");
}

fn edit(path: &std::path::Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, "edited").unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
}

#[test]
fn an_edit_is_not_lost_in_silence() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::new(root.path());
    store.write(&set("A=1\n", None), false).unwrap();
    edit(&root.path().join(".env"));
    for next in [set("A=1\n", None), set("A=2\n", None)] {
        let errors = store.write(&next, false).unwrap_err();
        assert!(matches!(errors[..], [StoreError::Edited { .. }]), "{errors:?}");
    }
    store.write(&set("A=1\n", None), true).unwrap();
    assert_eq!(fs::read_to_string(root.path().join(".env")).unwrap(), "A=1\n");
}

#[test]
fn rollback_goes_back_bit_for_bit_and_what_was_rolled_back_is_no_longer_between() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::new(root.path());
    let first = switched(store.write(&set("A=1\n", Some("one")), false).unwrap());
    let second = switched(store.write(&set("A=2\n", None), false).unwrap());
    let back = store.rollback(None).unwrap();
    assert_eq!(back, Written::Switched { from: Some(second), to: first.clone() });
    assert_eq!(store.load_current().unwrap(), set("A=1\n", Some("one")));
    assert_eq!(fs::read_to_string(root.path().join(".env.secret")).unwrap(), "one");
    store.write(&set("A=3\n", None), false).unwrap();
    assert_eq!(switched(store.rollback(None).unwrap()), first);
    assert!(matches!(store.rollback(None), Err(StoreError::NoGeneration { .. })));
}

#[test]
fn the_last_ten_generations_are_kept() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::new(root.path());
    for number in 0..15 {
        store.write(&set(&format!("A={number}\n"), None), false).unwrap();
    }
    let folders = fs::read_dir(root.path().join(".roster/generations")).unwrap().count();
    assert_eq!((folders, store.history().unwrap().len()), (10, 10));
}

#[test]
fn a_second_writer_is_told_to_wait() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::new(root.path());
    store.write(&set("A=1\n", None), false).unwrap();
    let lock = fs::File::open(root.path().join(".roster/lock")).unwrap();
    lock.lock().unwrap();
    let errors = store.write(&set("A=2\n", None), false).unwrap_err();
    assert!(matches!(errors[..], [StoreError::Locked { .. }]), "{errors:?}");
}

#[test]
fn what_a_killed_run_left_behind_is_no_hindrance() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::new(root.path());
    store.write(&set("A=1\n", None), false).unwrap();
    // Killed while building, and killed between making a link and switching.
    fs::create_dir_all(root.path().join(".roster/generations/building/secrets")).unwrap();
    fs::write(root.path().join(".roster/generations/building/.env"), "half").unwrap();
    symlink("generations/0", root.path().join(".roster/current.roster-new")).unwrap();
    // Killed while removing a generation of long ago.
    fs::create_dir_all(root.path().join(".roster/generations/leaving")).unwrap();
    fs::write(root.path().join(".roster/generations/leaving/.env"), "half").unwrap();
    store.write(&set("A=2\n", None), false).unwrap();
    assert_eq!(fs::read_to_string(root.path().join(".env")).unwrap(), "A=2\n");
    assert_eq!(fs::read_dir(root.path().join(".roster/generations")).unwrap().count(), 2);
}

#[test]
fn a_generation_that_is_no_longer_what_its_name_says_is_not_put_back_in_force() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::new(root.path());
    let first = switched(store.write(&set("A=1\n", None), false).unwrap());
    let second = switched(store.write(&set("A=2\n", None), false).unwrap());
    edit(&root.path().join(".roster/generations").join(first.as_str()).join(".env"));
    assert!(matches!(store.rollback(None), Err(StoreError::Edited { .. })));
    assert_eq!(store.current(), Some(second));
}
