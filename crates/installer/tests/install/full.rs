//! Whole installs.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use installer::status::State;
use serde_json::json;

use super::server::{Answer, Server};
use super::support::{Place, block_on, bytes, failures, git, model, sum, told, wheel};

#[test]
fn everything_is_installed_and_a_second_install_does_nothing() {
    let mut place = Place::new();
    let server = Server::start("127.0.0.1");
    let wheels = place.elsewhere("wheels");
    wheel(&wheels, "tiny", "1.0");
    wheel(&wheels, "other", "2.0");
    let from = format!("--no-index\n--find-links {}\n", wheels.display());
    super::support::commit(&place.elsewhere("core"), &[("requirements.txt", &format!("{from}tiny\n"))]);
    place.install["python"] = json!({ "requirements": ["requirements.txt"] });
    place.install["commands"] =
        json!([["${PYTHON}", "-c", "import tiny; open('made', 'w').write(tiny.version)"]]);
    place.install["probe"] = json!(["${PYTHON}", "-c", "import tiny, other"]);
    place.install["directories"] =
        json!(["${WORKSPACE}/instances/comfyui-gpu0/user", "${WORKSPACE}/outputs/comfyui-gpu0"]);
    place.install["models"]["kinds"] = json!(["vae"]);
    place.install["models"]["paths_file"] = json!("${WORKSPACE}/instances/models.yaml");
    place.variables = vec!["UPSCALER_KEY"];
    place.environment.insert("UPSCALER_KEY".parse().unwrap(), "it's; #1".into());

    let mut upscaler = place.node(
        "upscaler",
        &[
            ("requirements.txt", &format!("{from}other\n")),
            ("set up.sh", ""),
            ("setup.sh", "echo \"$KEY\" > ran\n"),
        ],
    );
    upscaler["env"] = json!({ "KEY": "${UPSCALER_KEY}", "MODE": "${MODE:-fast}" });
    upscaler["custom_script"] = json!("setup.sh");
    let mut plain = place.node("plain", &[("node.py", "")]);
    plain["url"] = json!(format!("git clone {}", plain["url"].as_str().unwrap()));
    place.variables.push("MODE");
    place.nodes(&json!([upscaler, plain]));

    let (one, two) = (bytes(300_000, 1), bytes(70_000, 2));
    let (first, second) =
        (server.put("one", Answer::File(one.clone())), server.put("two", Answer::Cut(two.clone(), 30_000)));
    let mut again = model("again.safetensors", &first, &one);
    again["folder"] = json!("loras/style");
    place.models(&json!([
        model("one.safetensors", &first, &one),
        model("two.safetensors", &second, &two),
        again
    ]));

    assert!(place.installer().plan().unwrap().len() > 10);
    let report = place.applied();
    assert!(report.steps > 10 && report.advice.is_empty());
    let status = place.status();
    assert_eq!((status.state, status.percent, status.bytes), (State::Installed, 100, 670_000));

    let source = place.home("current/source");
    assert_eq!(fs::read_to_string(source.join("made")).unwrap(), "1.0");
    assert_eq!(
        fs::read_to_string(source.join("custom_nodes/upscaler/.env")).unwrap(),
        "KEY=\"it's; #1\"\nMODE=fast\n"
    );
    let mode = fs::metadata(source.join("custom_nodes/upscaler/.env")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_to_string(source.join("custom_nodes/upscaler/ran")).unwrap(), "it's; #1\n");
    assert!(source.join("custom_nodes/plain/node.py").exists());
    assert!(place.workspace().join("instances/comfyui-gpu0/user").is_dir());
    let paths = fs::read_to_string(place.workspace().join("instances/models.yaml")).unwrap();
    let base = place.workspace().join("models");
    assert_eq!(
        paths,
        format!(
            "# Written by `roster install apply`.\nroster:\n  base_path: {:?}\n  is_default: true\n  checkpoints: checkpoints\n  loras: loras\n  vae: vae\n",
            base.display().to_string()
        )
    );
    let shown = place.workspace().join("models/checkpoints/one.safetensors");
    assert_eq!(fs::read(&shown).unwrap(), one);
    assert_eq!(fs::metadata(&shown).unwrap().nlink(), 3, "its name in the store, and two for the service");
    assert_eq!(server.asked().iter().filter(|it| it.path == "/one").count(), 1, "the same bytes come once");

    let lock = fs::read_to_string(place.home("roster.lock.json")).unwrap();
    let core = git(&place.elsewhere("core"), &["rev-parse", "HEAD"]);
    for expected in [core.trim(), "\"tiny\"", "\"other\"", &sum(&one)] {
        assert!(lock.contains(expected), "{lock}");
    }
    let before = (lock, fs::metadata(place.home("status.json")).unwrap().mtime_nsec(), server.asked().len());
    assert_eq!(place.applied().steps, 0);
    let after = fs::metadata(place.home("status.json")).unwrap().mtime_nsec();
    assert_eq!(
        before,
        (fs::read_to_string(place.home("roster.lock.json")).unwrap(), after, server.asked().len())
    );
    assert_eq!(block_on(place.installer().verify()).unwrap().len(), 0);
}

#[test]
fn another_machine_gets_what_the_lock_says() {
    let mut place = Place::new();
    let wheels = place.elsewhere("wheels");
    wheel(&wheels, "tiny", "1.0");
    let core = place.elsewhere("core");
    let list = format!("--no-index\n--find-links {}\ntiny\n", wheels.display());
    let commit = super::support::commit(&core, &[("requirements.txt", &list)]);
    place.install["python"] = json!({ "requirements": ["requirements.txt"] });
    place.applied();
    let lock = fs::read(place.home("roster.lock.json")).unwrap();
    // Both have moved on since.
    wheel(&wheels, "tiny", "2.0");
    super::support::commit(&core, &[("main.py", "later")]);
    fs::remove_dir_all(place.home("")).unwrap();
    fs::create_dir_all(place.home("")).unwrap();
    fs::write(place.home("roster.lock.json"), &lock).unwrap();
    place.install["probe"] = json!(["${PYTHON}", "-c", "import tiny; assert tiny.version == '1.0'"]);
    place.applied();
    assert_eq!(git(&place.home("current/source"), &["rev-parse", "HEAD"]).trim(), commit);
    assert_eq!(fs::read(place.home("roster.lock.json")).unwrap(), lock);
}

#[test]
fn a_commit_a_branch_a_tag_and_submodules_are_what_is_checked_out() {
    let place = Place::new();
    let node = place.elsewhere("node");
    let url = super::support::repository(&node, &[("v", "1")]);
    let first = git(&node, &["rev-parse", "HEAD"]).trim().to_owned();
    git(&node, &["-c", "user.name=t", "-c", "user.email=t@t", "tag", "--message=it", "--annotate", "v1"]);
    git(&node, &["checkout", "--quiet", "-b", "side"]);
    super::support::commit(&node, &[("v", "side")]);
    git(&node, &["checkout", "--quiet", "main"]);
    super::support::commit(&node, &[("v", "2")]);
    place.nodes(&json!([
        { "name": "commit", "url": url, "commit": first, "branch": "side" },
        { "name": "branch", "url": url, "branch": "side" },
        { "name": "tag", "url": url, "branch": "v1" },
        { "name": "head", "url": url },
    ]));
    place.applied();
    let read = |name: &str| {
        fs::read_to_string(place.home("current/source/custom_nodes").join(name).join("v")).unwrap()
    };
    assert_eq!(["commit", "branch", "tag", "head"].map(read), ["1", "side", "1", "2"]);
}

#[test]
fn a_folder_a_tarball_and_a_program_are_sources_too() {
    let mut place = Place::new();
    let folder = place.elsewhere("folder");
    fs::create_dir_all(folder.join("sub")).unwrap();
    fs::write(folder.join("sub/main.py"), "folder").unwrap();
    std::os::unix::fs::symlink("sub/main.py", folder.join("main.py")).unwrap();
    place.install["source"] = json!({ "directory": { "path": folder } });
    place.applied();
    assert_eq!(fs::read_to_string(place.home("current/source/main.py")).unwrap(), "folder");
    assert_eq!(place.applied().steps, 0);

    let server = Server::start("127.0.0.1");
    let packed = std::process::Command::new("tar")
        .args(["-czf", "-", "-C"])
        .args([&place.elsewhere("")])
        .args(["--transform=s/^folder/top-1.0/", "folder"])
        .output()
        .unwrap()
        .stdout;
    let url = server.put("it.tar.gz", Answer::File(packed.clone()));
    place.install["source"] = json!({ "tarball": { "url": url, "sha256": sum(&packed), "strip": 1 } });
    place.applied();
    assert_eq!(fs::read_to_string(place.home("current/source/main.py")).unwrap(), "folder");
    assert_eq!(place.applied().steps, 0);

    place.install["source"] = json!({ "program": { "name": "git" } });
    place.install["commands"] = json!([["false"]]);
    place.install["probe"] = json!(["${SOURCE}/bin/git", "--version"]);
    place.applied();
    assert!(fs::read_link(place.home("current/source/bin/git")).unwrap().ends_with("git"));
    place.install["source"] = json!({ "program": { "name": "no-such-program" } });
    place.install["commands"] = json!([["ln", "-s", "/bin/true", "bin/no-such-program"]]);
    place.install["probe"] = json!(["${SOURCE}/bin/no-such-program"]);
    place.applied();
}

#[test]
fn a_file_that_was_there_before_is_taken_as_it_is_and_another_one_is_never_touched() {
    let place = Place::new();
    let (mine, declared) = (bytes(10_000, 7), bytes(10_000, 8));
    place.write("models/checkpoints/mine.bin", "");
    fs::write(place.workspace().join("models/checkpoints/mine.bin"), &mine).unwrap();
    // Nobody answers there: nothing is asked for.
    place.models(&json!([model("mine.bin", "http://127.0.0.1:9/mine", &mine)]));
    place.applied();
    assert_eq!(fs::read(place.workspace().join("models/checkpoints/mine.bin")).unwrap(), mine);

    let server = Server::start("127.0.0.1");
    fs::write(place.workspace().join("models/checkpoints/other.bin"), "mine too").unwrap();
    let url = server.put("other", Answer::File(declared.clone()));
    place.models(&json!([model("other.bin", &url, &declared)]));
    let (report, _) = place.apply();
    assert!(failures(&report)[0].contains("is in the way"), "{:?}", failures(&report));
    assert_eq!(fs::read(place.workspace().join("models/checkpoints/other.bin")).unwrap(), b"mine too");
    let status = place.status();
    assert_eq!((status.state, status.failed.unwrap().code.as_str()), (State::Failed, "INSTALL017"));
}

#[test]
fn a_damaged_model_is_found_and_brought_again() {
    let place = Place::new();
    let server = Server::start("127.0.0.1");
    let it = bytes(50_000, 3);
    let url = server.put("it", Answer::File(it.clone()));
    place.models(&json!([model("it.bin", &url, &it)]));
    place.applied();
    let shown = place.workspace().join("models/checkpoints/it.bin");
    fs::set_permissions(&shown, fs::Permissions::from_mode(0o644)).unwrap();
    let mut worse = it.clone();
    worse[100] ^= 1;
    fs::write(&shown, &worse).unwrap();
    assert_eq!(place.applied().steps, 0, "nothing is read again without being asked to");
    let found = block_on(place.installer().verify()).unwrap();
    assert!(found[0].to_string().starts_with("the model checkpoints/it.bin is damaged"), "{found:?}");
    place.applied();
    assert_eq!(fs::read(&shown).unwrap(), it);
    let aside = fs::read_dir(place.workspace().join("models/.store/damaged")).unwrap().flatten();
    assert_eq!(aside.map(|it| fs::read(it.path()).unwrap()).collect::<Vec<_>>(), [worse], "nothing is lost");
}

#[test]
fn an_install_that_goes_on_keeps_a_second_one_out() {
    let mut place = Place::new();
    let ready = place.elsewhere("ready");
    let script = format!(
        "touch {}; while test ! -f {}; do sleep 0.05; done",
        ready.display(),
        place.elsewhere("go").display()
    );
    place.install["probe"] = json!(["sh", "-c", script]);
    place.limits.wait = std::time::Duration::ZERO;
    std::thread::scope(|scope| {
        let first = scope.spawn(|| place.applied());
        while !ready.exists() {
            std::thread::yield_now();
        }
        let seen = super::support::Seen::default();
        let second = block_on(place.installer().apply(&seen)).unwrap_err();
        assert_eq!(
            second.to_string(),
            "another install of `comfyui` is going on, or a program that it started is"
        );
        assert_eq!(place.status().state, State::Installing);
        fs::write(place.elsewhere("go"), "").unwrap();
        first.join().unwrap();
    });
    assert_eq!(place.status().state, State::Installed);
}

#[test]
fn what_an_order_has_wrong_is_told_at_once() {
    let mut place = Place::new();
    place.install["source"] = json!({ "git": { "url": "http://example.com/a", "commit": "abc" } });
    place.install["directories"] = json!(["relative", "/a/../b"]);
    place.install["python"] = json!({ "packages": ["--index-url=http://evil"] });
    place.install["probe"] = json!(["${NOBODY}"]);
    insta::assert_snapshot!(place.refused(), @r#"
    INSTALL002 `source.git.url` is no address to fetch from: its scheme is `http`, which anybody on the way can change; use `https` [write an address of its own: `https://host/path`]
    INSTALL003 `source.git.commit` is not whole: it is not 40 or 64 hexadecimal digits in lower case [write all of its digits, in lower case]
    INSTALL001 "--index-url=http://evil" is no requirement [write one requirement, as a line of a requirements file has it: `requests>=2`]
    INSTALL001 `directories` is no path of a folder: it does not begin with `/`, or has `..` in it [begin it with `/` or `${WORKSPACE}/`, without `..`]
    INSTALL001 `directories` is no path of a folder: it does not begin with `/`, or has `..` in it [begin it with `/` or `${WORKSPACE}/`, without `..`]
    INSTALL006 `NOBODY` is not declared by the service [add `NOBODY` to the service's `optional_env` in the mapping, or remove it here]
    "#);
    assert!(told(&[]).is_empty());
}
