//! Downloads from servers that misbehave.

use std::fs;

use installer::status::State;
use serde_json::json;

use super::server::{Answer, Server};
use super::support::{Place, bytes, failures, model, sum};

const LENGTH: usize = 3_000_000;

/// Installs one model from this answer; what failed, and whether the model is there.
fn tried(answer: Answer) -> (Vec<String>, bool, Server, Place) {
    let place = Place::new();
    let server = Server::start("127.0.0.1");
    let it = bytes(LENGTH, 1);
    let url = server.put("it", answer);
    place.models(&json!([model("it.bin", &url, &it)]));
    let (report, _) = place.apply();
    let shown = place.workspace().join("models/checkpoints/it.bin");
    let there = fs::read(&shown).is_ok_and(|found| found == it);
    assert_eq!(there, shown.exists(), "what is visible is whole");
    assert_eq!(there, report.failures.is_empty());
    assert_eq!(place.status().state, if there { State::Installed } else { State::Failed });
    (failures(&report), there, server, place)
}

#[test]
fn what_breaks_off_is_gone_on_with_from_its_last_byte() {
    let it = bytes(LENGTH, 1);
    let (_, there, server, _) = tried(Answer::Cut(it, 1_200_000));
    assert!(there);
    let ranges: Vec<_> = server.asked().iter().map(|it| it.headers.get("range").cloned()).collect();
    assert_eq!(ranges, [None, Some("bytes=1200000-".into()), Some("bytes=2400000-".into())]);
    assert_eq!(server.asked()[1].headers["if-range"], "\"a\"");
}

#[test]
fn a_server_without_ranges_is_begun_anew_with() {
    let place = Place::new();
    let (server, it) = (Server::start("127.0.0.1"), bytes(LENGTH, 1));
    let cut = server.put("it", Answer::Cut(it.clone(), 1000));
    place.models(&json!([model("it.bin", &cut, &it)]));
    assert_eq!(place.apply().0.failures.len(), 1);
    server.put("it", Answer::NoRanges(it.clone()));
    place.applied();
    assert_eq!(fs::read(place.workspace().join("models/checkpoints/it.bin")).unwrap(), it);
}

#[test]
fn a_file_that_changes_under_way_is_begun_anew() {
    let old = bytes(LENGTH, 9);
    let (_, there, server, _) = tried(Answer::Changing(old, bytes(LENGTH, 1), 1_500_000));
    assert!(there);
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn bytes_of_another_file_in_the_part_are_found_out() {
    let place = Place::new();
    let (server, it) = (Server::start("127.0.0.1"), bytes(LENGTH, 1));
    let url = server.put("it", Answer::File(it.clone()));
    place.models(&json!([model("it.bin", &url, &it)]));
    place.write(&format!("models/.store/parts/{}", sum(&it)), "not the beginning of it");
    place.applied();
    assert_eq!(fs::read(place.workspace().join("models/checkpoints/it.bin")).unwrap(), it);
}

#[test]
fn servers_that_lie_stall_or_refuse_leave_nothing_visible() {
    let it = || bytes(LENGTH, 1);
    let mut wrong = it();
    wrong[LENGTH - 1] ^= 1;
    let table = [
        ("stalls", Answer::Stall(it(), 1000), "it stood still"),
        ("ends early", Answer::Cut(it(), 0), "it broke off after 0 of 3000000 bytes"),
        ("announces less", Answer::Length(it(), 1000), "it has 1000 bytes, and 3000000 were declared"),
        (
            "announces more",
            Answer::Length(it(), LENGTH + 1),
            "it has 3000001 bytes, and 3000000 were declared",
        ),
        ("sends more", Answer::Endless(bytes(LENGTH + 1, 1)), "more bytes came than were declared"),
        (
            "ends early without a length",
            Answer::Endless(it()[..1000].to_vec()),
            "it broke off after 1000 of 3000000 bytes",
        ),
        ("sends other bytes", Answer::File(wrong), "its SHA-256 is "),
        ("sends a login", Answer::Page, "it sends a page for people, such as a login, instead of the file"),
        ("has none", Answer::Status(404), "404 Not Found"),
        ("wants a token", Answer::Status(401), "401 Unauthorized"),
        ("is ill", Answer::Status(503), "503 Service Unavailable"),
        ("leads round", Answer::Redirect("/it".into()), "it leads from address to address"),
        (
            "leads out of TLS",
            Answer::Redirect("http://example.com/it".into()),
            "it leads to an address without TLS",
        ),
        (
            "leads into files",
            Answer::Redirect("file:///etc/passwd".into()),
            "it leads to an address without TLS",
        ),
    ];
    for (server, answer, expected) in table {
        let (failures, there, _, place) = tried(answer);
        assert!(!there, "a server that {server}");
        assert!(failures[0].contains(expected), "a server that {server}: {failures:?}");
        assert!(!place.home("current").exists(), "nothing is started without its models");
    }
}

#[test]
fn the_next_address_is_asked_when_one_fails_and_goes_on_where_the_first_stopped() {
    let place = Place::new();
    let (server, it) = (Server::start("127.0.0.1"), bytes(LENGTH, 1));
    let (stalls, good) =
        (server.put("a", Answer::Stall(it.clone(), 500_000)), server.put("b", Answer::File(it.clone())));
    let mut wanted = model("it.bin", &stalls, &it);
    wanted["urls"] = json!([server.put("gone", Answer::Status(404)), stalls, good]);
    place.models(&json!([wanted]));
    place.applied();
    let last = server.asked().last().unwrap().clone();
    assert_eq!(
        (last.path.as_str(), last.headers.get("range").map(String::as_str)),
        ("/b", Some("bytes=1500000-"))
    );
}

#[test]
fn a_token_goes_to_its_host_alone_and_is_in_no_output() {
    let mut place = Place::new();
    // Another port is another host to a token.
    let (first, second) = (Server::start("127.0.0.1"), Server::start("127.0.0.1"));
    let it = bytes(1000, 1);
    let far = second.put("it", Answer::File(it.clone()));
    let near = first.put("it", Answer::Redirect(far));
    place.install["tokens"] = json!({ "127.0.0.1": "HOST_TOKEN" });
    place.variables = vec!["HOST_TOKEN"];
    place.environment.insert("HOST_TOKEN".parse().unwrap(), "canary-in-a-mine".into());
    place.models(&json!([model("it.bin", &near, &it)]));
    place.install["probe"] = json!(["sh", "-c", "env; cat /proc/$$/cmdline; exit 1"]);
    let (report, _) = place.apply();
    assert_eq!(first.asked()[0].headers["authorization"], "Bearer canary-in-a-mine");
    assert!(!second.asked()[0].headers.contains_key("authorization"));
    let told = format!("{report:?} {:?} {:?}", place.installer(), place.status());
    assert!(!told.contains("canary-in-a-mine"), "{told}");
    first.put("it", Answer::Status(403));
    place.models(&json!([model("other.bin", &near, &bytes(1001, 1))]));
    let (report, _) = place.apply();
    let fix = spec::notes::Fault::fix(&report.failures[0].fault);
    assert_eq!(
        fix,
        "set `HOST_TOKEN` to a token that may read it, and accept the file's terms on the host's page"
    );
}

#[test]
fn what_will_not_fit_is_refused_before_the_first_byte() {
    let mut place = Place::new();
    let (server, it) = (Server::start("127.0.0.1"), bytes(1000, 1));
    let url = server.put("it", Answer::File(it.clone()));
    place.models(&json!([model("it.bin", &url, &it)]));
    place.limits.reserve = 1 << 60;
    let (report, _) = place.apply();
    assert!(failures(&report)[0].contains("MiB more are needed"), "{:?}", failures(&report));
    assert_eq!((server.asked().len(), place.status().failed.unwrap().code), (0, "INSTALL010".into()));
    assert!(!place.home("current").exists());
}

#[test]
fn a_disk_that_fills_up_is_told_and_what_came_is_kept() {
    let place = Place::new();
    let (server, it) = (Server::start("127.0.0.1"), bytes(6 << 20, 1));
    let url = server.put("it", Answer::File(it.clone()));
    let store = place.workspace().join("models");
    fs::create_dir_all(&store).unwrap();
    let Some(_disk) = super::hostile::Small::mount(&store, 8) else { return };
    // The budget sees enough room; then somebody else writes.
    place.models(&json!([model("it.bin", &url, &it)]));
    let hog = store.join("hog");
    server.put("it", Answer::Slow(it.clone()));
    std::thread::scope(|scope| {
        let install = scope.spawn(|| place.apply().0);
        let part = store.join(".store/parts").join(sum(&it));
        while fs::metadata(&part).map_or(0, |it| it.len()) == 0 {
            std::thread::yield_now();
        }
        // As much as there is, however much that is.
        let mut file = fs::File::create(&hog).unwrap();
        while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
        let report = install.join().unwrap();
        assert_eq!(place.status().failed.unwrap().code, "INSTALL010", "{:?}", failures(&report));
    });
    assert!(!store.join("checkpoints/it.bin").exists());
    fs::remove_file(&hog).unwrap();
    place.applied();
    assert_eq!(fs::read(store.join("checkpoints/it.bin")).unwrap(), it);
    assert!(server.asked().last().unwrap().headers.contains_key("range"), "it went on where it was");
}
