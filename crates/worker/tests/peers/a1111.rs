//! Automatic1111, by a double with its traps that an independent client drives as well.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use insta::assert_snapshot;
use serde_json::{Value, json};
use spec::env::Secret;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use worker::Kind::{Permanent, Retryable, Service, Stopped};
use worker::connectors::a1111::A1111;
use worker::{Connector as _, Stop};

use crate::a1111_double::{Build, Double};
use crate::support::{Attempt, Python, client, egress, free_port, meaning, png, run, until};

const BY_HAND: Build = Build { old: false, auth: None, bare: false, by_hand: true };

fn connector(double: &Double) -> A1111 {
    A1111::new(double.url.clone(), None, egress()).looking(Duration::from_millis(5))
}

fn job(steps: u32) -> Attempt {
    Attempt::new("a1111", json!({ "prompt": "a cat", "steps": steps }))
}

/// Somebody else's generation, with its answer to come.
fn neighbour(double: &Double, steps: u32) -> tokio::task::JoinHandle<Value> {
    let url = double.url.join("sdapi/v1/txt2img").unwrap();
    let body = json!({ "prompt": "a dog", "steps": steps, "force_task_id": "neighbour" });
    tokio::spawn(async move { client().post(url).json(&body).send().await.unwrap().json().await.unwrap() })
}

fn runs(double: &Double, task: &str) -> bool {
    double.inside().current.as_deref() == Some(task)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_independent_client_takes_the_double_for_automatic1111() {
    let Some(python) = Python::find() else { return };
    let auth = Some("dXNlcjpwYXNz");
    let double = Double::start(Build { auth, ..Build::default() }).await;
    let script = r"
import sys, webuiapi
it = webuiapi.WebUIApi(baseurl=sys.argv[1] + 'sdapi/v1', steps=4, username='user', password='pass')
done = it.txt2img(prompt='a cat', batch_size=1)
assert done.image.size == (1, 1) and done.info['seed'] == 7, done.info
assert it.img2img(images=[done.image], prompt='a grey cat').image.size == (1, 1)
assert it.get_progress()['progress'] == 0 and it.interrupt() == {} and 'ram' in it.get_memory()
try:
    it.txt2img(prompt='a cat', sampler_name='Nonesuch')
    raise SystemExit('there is no such sampler')
except RuntimeError as e:
    assert e.args[0] == 400, e
try:
    webuiapi.WebUIApi(baseurl=sys.argv[1] + 'sdapi/v1').txt2img(prompt='a cat')
    raise SystemExit('it let a stranger in')
except RuntimeError as e:
    assert e.args[0] == 401, e
";
    python.script(script, &[double.url.as_str()]).await;
}

#[tokio::test]
async fn images_come_without_the_grid_before_them_and_the_progress_is_told() {
    let double = Double::start(BY_HAND).await;
    let a1111 = connector(&double);
    let attempt = Attempt::new("a1111", json!({ "prompt": "a cat", "steps": 2, "batch_size": 3 }));
    let (made, ()) = tokio::join!(attempt.run(&a1111), async {
        until("it runs", async || runs(&double, &attempt.task.attempt_id)).await;
        double.step();
        until("half is told", async || attempt.told() == (50, "generating".into())).await;
        double.step();
    });
    let made = made.unwrap();
    let images = made["images"].as_array().unwrap();
    assert_eq!(images.len(), 3);
    for image in images {
        assert_eq!(attempt.bytes(image).await, png());
    }
    assert_snapshot!(json!({ "seed": made["seed"], "all_seeds": made["all_seeds"], "model": made["sd_model_name"] }), @r#"{"all_seeds":[7,8,9],"model":"sdxl","seed":7}"#);
    assert_eq!(double.inside().bodies[0]["force_task_id"], attempt.task.attempt_id);
}

#[tokio::test]
async fn the_progress_of_a_neighbour_is_not_told_as_ours() {
    let double = Double::start(BY_HAND).await;
    let (a1111, attempt) = (connector(&double), job(1));
    let other = neighbour(&double, 4);
    until("the neighbour runs", async || runs(&double, "neighbour")).await;
    (0..3).for_each(|_| double.step());
    let (made, ()) = tokio::join!(attempt.run(&a1111), async {
        until("it waits", async || attempt.told().1.starts_with("waiting")).await;
        assert_eq!(attempt.told().0, 0);
        double.step();
        until("it runs", async || runs(&double, &attempt.task.attempt_id)).await;
        double.step();
    });
    made.unwrap();
    assert_eq!(other.await.unwrap()["images"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_stop_interrupts_the_generation_that_runs_once_and_waits_for_its_end() {
    let double = Double::start(BY_HAND).await;
    let (a1111, attempt) = (connector(&double), job(50));
    let (result, ()) = tokio::join!(attempt.run(&a1111), async {
        until("it runs", async || runs(&double, &attempt.task.attempt_id)).await;
        attempt.hands.stop.stop(Stop::Cancelled);
    });
    assert_eq!(result.unwrap_err().kind, Stopped);
    let inside = double.inside();
    assert_eq!((inside.current.as_ref(), inside.interrupts.len()), (None, 1));
    assert_eq!(inside.ends[&attempt.task.attempt_id], "interrupted");
}

#[tokio::test]
async fn a_stop_while_ours_waits_for_its_turn_spares_the_neighbour() {
    let double = Double::start(BY_HAND).await;
    let (a1111, attempt) = (connector(&double), job(50));
    let other = neighbour(&double, 2);
    until("the neighbour runs", async || runs(&double, "neighbour")).await;
    let (result, ()) = tokio::join!(attempt.run(&a1111), async {
        until("ours waits", async || attempt.told().1.starts_with("waiting")).await;
        attempt.hands.stop.stop(Stop::Shutdown);
        tokio::task::yield_now().await;
        double.step();
        double.step();
    });
    assert_eq!(result.unwrap_err().kind, Stopped);
    other.await.unwrap();
    let inside = double.inside();
    assert_eq!(inside.ends["neighbour"], "whole");
    assert_eq!(inside.interrupts, [Some(attempt.task.attempt_id.clone())]);
}

#[tokio::test]
async fn partial_images_after_somebody_elses_interrupt_are_no_success() {
    let double = Double::start(BY_HAND).await;
    let (a1111, attempt) = (connector(&double), job(50));
    let (result, ()) = tokio::join!(attempt.run(&a1111), async {
        until("it runs", async || runs(&double, &attempt.task.attempt_id)).await;
        double.step();
        double.interrupt();
    });
    let failure = result.unwrap_err();
    assert_eq!(meaning(&failure), (Retryable, false, None));
    assert!(failure.message.starts_with("someone interrupted"), "{failure}");
}

#[tokio::test]
async fn fewer_images_than_were_asked_for_are_no_success_even_if_the_flag_is_gone() {
    let double = Double::start(BY_HAND).await;
    let a1111 = connector(&double);
    let attempt = Attempt::new("a1111", json!({ "prompt": "a cat", "steps": 50, "n_iter": 3 }));
    let (result, ()) = tokio::join!(attempt.run(&a1111), async {
        until("it runs", async || runs(&double, &attempt.task.attempt_id)).await;
        // The next generation stands in line and clears the flag as it begins.
        let _other = neighbour(&double, 50);
        until("another waits", async || double.inside().queued == ["neighbour"]).await;
        double.interrupt();
    });
    assert_eq!(meaning(&result.unwrap_err()), (Retryable, false, None));
    assert!(!double.inside().interrupted);
}

#[tokio::test]
async fn an_interrupt_of_the_next_generation_is_not_taken_for_ours() {
    let double = Double::start(BY_HAND).await;
    // The next generation begins and ends before it is answered how ours ended.
    double.holds.send_replace(true);
    let (a1111, attempt) = (connector(&double), job(1));
    let (made, ()) = tokio::join!(attempt.run(&a1111), async {
        until("it runs", async || runs(&double, &attempt.task.attempt_id)).await;
        let other = neighbour(&double, 50);
        until("another waits", async || double.inside().queued == ["neighbour"]).await;
        double.step();
        until("the neighbour runs", async || runs(&double, "neighbour")).await;
        double.interrupt();
        other.await.unwrap();
        assert!(double.inside().interrupted);
        double.holds.send_replace(false);
    });
    assert_eq!(made.unwrap()["images"].as_array().unwrap().len(), 1);
}

/// Between a client and a server, and can cut.
struct Wire {
    url: reqwest::Url,
    cut: tokio::sync::watch::Sender<u32>,
}

impl Wire {
    async fn to(double: &Double) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let (cut, seen) = tokio::sync::watch::channel(0);
        let to = double.url.socket_addrs(|| None).unwrap()[0];
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut seen = seen.clone();
                seen.mark_unchanged();
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(to).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = seen.changed() => {}
                    }
                });
            }
        });
        Self { url, cut }
    }

    fn cut(&self) {
        self.cut.send_modify(|it| *it += 1);
    }
}

#[tokio::test]
async fn a_generation_whose_connection_is_cut_is_ended_before_the_job_is_given_up() {
    let double = Double::start(BY_HAND).await;
    let wire = Wire::to(&double).await;
    let a1111 = A1111::new(wire.url.clone(), None, egress()).looking(Duration::from_millis(5));
    let attempt = job(50);
    let (result, ()) = tokio::join!(attempt.run(&a1111), async {
        until("it runs", async || runs(&double, &attempt.task.attempt_id)).await;
        wire.cut();
    });
    assert_eq!(meaning(&result.unwrap_err()), (Retryable, true, None));
    assert_eq!(double.inside().ends[&attempt.task.attempt_id], "interrupted");
    // The same where it still waits for its turn, and has to stop at that.
    let (attempt, other) = (job(50), neighbour(&double, 1));
    until("the neighbour runs", async || runs(&double, "neighbour")).await;
    let (result, ()) = tokio::join!(attempt.run(&a1111), async {
        until("ours waits", async || attempt.told().1.starts_with("waiting")).await;
        attempt.hands.stop.stop(Stop::Deadline);
        wire.cut();
        double.step();
    });
    assert_eq!(result.unwrap_err().kind, Stopped);
    other.await.unwrap();
    let inside = double.inside();
    assert_eq!((inside.ends["neighbour"], inside.ends[&attempt.task.attempt_id]), ("whole", "interrupted"));
}

#[tokio::test]
async fn errors_of_every_age_are_told_in_the_words_of_the_server() {
    for (old, status) in [(true, "404"), (false, "400")] {
        let double = Double::start(Build { old, ..Build::default() }).await;
        let a1111 = connector(&double);
        let ask = async |more: Value| {
            let mut payload = json!({ "prompt": "a cat", "steps": 1 });
            payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            run(&a1111, "a1111", payload).await.unwrap_err()
        };
        let failure = ask(json!({ "sampler_name": "Nonesuch" })).await;
        assert_eq!(meaning(&failure), (Permanent, false, None));
        assert!(
            failure.message.contains(status) && failure.message.contains("Sampler not found"),
            "{failure}"
        );
        let failure = ask(json!({ "prompt": "a picture too large" })).await;
        assert_eq!(meaning(&failure), (Retryable, true, None));
        assert!(
            failure.message.ends_with("OutOfMemoryError: CUDA out of memory. Tried to allocate 40.00 GiB")
        );
        let failure = ask(json!({ "prompt": "a broken model" })).await;
        assert_eq!(meaning(&failure), (Retryable, false, None));
        assert!(
            failure.message.ends_with("RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
            "{failure}"
        );
        let failure = ask(json!({ "steps": "many" })).await;
        assert!(failure.message.starts_with("the payload is not of the form"), "{failure}");
    }
}

#[tokio::test]
async fn a_password_that_is_wrong_is_permanent_and_one_that_is_right_opens() {
    let double = Double::start(Build { auth: Some("dXNlcjpwYXNz"), ..Build::default() }).await;
    let with = |password: &str| {
        let auth = Some(("user".to_owned(), Secret::new(password.to_owned())));
        A1111::new(double.url.clone(), auth, egress()).looking(Duration::from_millis(5))
    };
    with("pass").check().await.unwrap();
    job(1).run(&with("pass")).await.unwrap();
    for stranger in [with("pas"), connector(&double)] {
        let failure = job(1).run(&stranger).await.unwrap_err();
        assert_eq!(meaning(&failure), (Permanent, false, None));
        assert!(
            failure.message.contains("401") && failure.message.ends_with("Incorrect username or password"),
            "{failure}"
        );
        assert_eq!(stranger.check().await.unwrap_err().kind, Permanent);
    }
}

#[tokio::test]
async fn a_server_that_cannot_tell_whose_turn_it_is_gets_no_jobs_and_neither_does_one_that_is_gone() {
    let double = Double::start(Build { bare: true, ..Build::default() }).await;
    let failure = connector(&double).check().await.unwrap_err();
    assert!(failure.message.contains("--nowebui"), "{failure}");
    let gone = format!("http://127.0.0.1:{}", free_port()).parse().unwrap();
    let gone = A1111::new(gone, None, egress()).looking(Duration::from_millis(5));
    assert_eq!(gone.check().await.unwrap_err().kind, Service);
    assert_eq!(meaning(&job(1).run(&gone).await.unwrap_err()), (Service, true, None));
}

#[tokio::test]
async fn pictures_of_a_job_are_fetched_by_the_worker_wherever_they_stand() {
    let double = Double::start(Build::default()).await;
    let (a1111, here) = (connector(&double), double.url.join("file.png").unwrap().to_string());
    let inline = BASE64_STANDARD.encode(png());
    let payload = json!({
        "prompt": "a grey cat", "steps": 1, "init_images": [here, inline], "mask": here,
        "alwayson_scripts": { "controlnet": { "args": [{ "enabled": true, "image": here, "module": "canny" }] } }
    });
    run(&a1111, "a1111", payload).await.unwrap();
    let body = double.inside().bodies[0].clone();
    assert_eq!(body["init_images"], json!([inline, inline]));
    assert_eq!(body["mask"], json!(inline));
    assert_eq!(body["alwayson_scripts"]["controlnet"]["args"][0]["image"], json!(inline));
    let payload = json!({ "prompt": "a cat", "init_images": ["http://169.254.169.254/latest"] });
    let failure = run(&a1111, "a1111", payload).await.unwrap_err();
    assert_eq!(meaning(&failure), (Permanent, false, None));
    assert_eq!(double.inside().bodies.len(), 1);
}
