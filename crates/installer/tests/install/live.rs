//! A real ComfyUI, where its checkout is given: two instances on the processor, and a workflow without a model on each.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::Place;

const VARIABLE: &str = "ROSTER_TEST_COMFYUI";

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A request by hand: status and body.
fn ask(port: u16, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, serde_json::from_str(body).unwrap_or_default()))
}

fn until<T>(what: &str, limit: u64, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(it) = look() {
            return it;
        }
        assert!(began.elapsed() < Duration::from_secs(limit), "{what} did not come in {limit} s");
        std::thread::park_timeout(Duration::from_millis(200));
    }
}

#[test]
fn a_real_comfyui_is_installed_and_runs_a_workflow_on_each_of_two_instances() {
    let Ok(checkout) = std::env::var(VARIABLE) else {
        eprintln!("not run: {VARIABLE} names no checkout of ComfyUI");
        return;
    };
    let mut place = Place::new();
    let names = ["comfyui-gpu0", "comfyui-gpu1"];
    let folders: Vec<String> = (names.iter())
        .flat_map(|name| ["user", "input", "temp"].map(|it| format!("${{WORKSPACE}}/instances/{name}/{it}")))
        .chain(names.iter().map(|name| format!("${{WORKSPACE}}/outputs/{name}")))
        .collect();
    place.install["source"] = json!({ "directory": { "path": checkout } });
    place.install["python"] = json!({ "requirements": ["requirements.txt"], "packages": ["requests"] });
    place.install["directories"] = json!(folders);
    place.install["models"]["kinds"] = json!(["checkpoints", "vae"]);
    place.install["models"]["paths_file"] = json!("${WORKSPACE}/instances/comfyui-models.yaml");
    let probe =
        ["${PYTHON}", "main.py", "--quick-test-for-ci", "--cpu", "--database-url", "sqlite:///:memory:"];
    place.install["probe"] = json!(probe);
    place.applied();
    assert_eq!(place.applied().steps, 0);

    let workspace = place.workspace().display().to_string();
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let instances: Vec<(u16, Ended)> = (names.iter())
        .map(|name| {
            let port = free();
            let folder = |it: &str| format!("{workspace}/instances/{name}/{it}");
            let child = Command::new(place.home("current/venv/bin/python"))
                .current_dir(place.home("current/source"))
                .args(["main.py", "--cpu", "--listen", "127.0.0.1", "--port", &port.to_string()])
                .args(["--user-directory", &folder("user"), "--input-directory", &folder("input")])
                .args(["--temp-directory", &folder("temp")])
                .args(["--output-directory", &format!("{workspace}/outputs/{name}")])
                .args(["--database-url", &format!("sqlite:///{}", folder("comfyui.db"))])
                .args(["--extra-model-paths-config", &format!("{workspace}/instances/comfyui-models.yaml")])
                .arg("--disable-auto-launch")
                .env("CUDA_VISIBLE_DEVICES", "")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            (port, Ended(child))
        })
        .collect();
    let workflow = json!({ "prompt": {
        "1": { "class_type": "EmptyImage", "inputs": { "width": 16, "height": 16, "batch_size": 1, "color": 255 } },
        "2": { "class_type": "ImageInvert", "inputs": { "image": ["1", 0] } },
        "3": { "class_type": "SaveImage", "inputs": { "images": ["2", 0], "filename_prefix": "it" } },
    } });
    for ((port, _), name) in instances.iter().zip(names) {
        until("an answer", 180, || ask(*port, "GET", "/system_stats", "").filter(|it| it.0 == 200));
        let (status, answer) = ask(*port, "POST", "/prompt", &workflow.to_string()).unwrap();
        assert_eq!(status, 200, "{answer}");
        let id = answer["prompt_id"].as_str().unwrap().to_owned();
        until("a picture", 60, || {
            let (_, history) = ask(*port, "GET", &format!("/history/{id}"), "")?;
            history[&id]["status"]["completed"].as_bool().filter(|it| *it)
        });
        assert!(place.workspace().join("outputs").join(name).join("it_00001_.png").exists());
    }
}
