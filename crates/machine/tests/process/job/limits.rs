//! `roster job limit`.

use insta::assert_snapshot;
use serde_json::json;

use super::Queue;

#[test]
fn the_limit_of_a_key_is_set_listed_and_lifted() {
    let Some(queue) = Queue::start() else { return };
    assert_snapshot!(queue.run("limit").1, @"0 limits of `jobs`.");
    queue.submit("--id cat-1 --limit-key anna@example.org");
    queue.submit("--id cat-2 --limit-key anna@example.org");
    assert_snapshot!(queue.ok("limit anna@example.org --concurrency 1 --rate 10/90s", ""), @r"
    KEY               AT ONCE  STARTS
    anna@example.org  1        10/1m30s
    ");
    queue.ok("limit other --rate 3/250ms", "");
    assert_eq!(
        queue.json("limit")["result"]["limits"],
        json!([
            { "key": "anna@example.org", "concurrency": 1, "rate": { "jobs": 10, "per_ms": 90_000 } },
            { "key": "other", "rate": { "jobs": 3, "per_ms": 250 } },
        ])
    );
    queue.work(async |_, _, claim| assert_eq!(claim.unwrap().ticket.id.as_str(), "cat-1"));
    queue.work(async |_, _, claim| assert_eq!(claim, None));
    assert!(queue.ok("explain cat-2", "").contains("Its limit key `anna@example.org` holds it: 1 of 1 run."));
    let (out, talk, exit) = queue.run("limit anna@example.org --none");
    assert_eq!((out.as_str(), talk.trim(), exit), ("", "`anna@example.org` has no limit.", Some(0)));
    queue.work(async |_, _, claim| assert_eq!(claim.unwrap().ticket.id.as_str(), "cat-2"));
    for wrong in
        ["limit a", "limit --none", "limit a --rate 10", "limit a --rate 0/1s", "limit a --rate 1/0s"]
    {
        assert_eq!(queue.run(wrong).2, Some(64), "{wrong}");
    }
    assert_eq!(queue.run("limit a --none --concurrency 1").2, Some(64));
}
