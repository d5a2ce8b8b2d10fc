//! ComfyUI from the plan: installed once, and two instances of it on the processor, each with folders of its own. A real
//! one where `ROSTER_TEST_COMFYUI` names its checkout; one that pretends everywhere.

use super::*;

const VARIABLE: &str = "ROSTER_TEST_COMFYUI";

/// As much of ComfyUI as is asked for here: it takes its arguments strictly, and makes a picture for each prompt.
const PRETENDS: &str = r#"
import argparse, http.server, json, os, sys
if sys.argv[1] == "--quick-test-for-ci":
    sys.exit()
it = argparse.ArgumentParser()
for name in ["listen", "port", "user-directory", "input-directory", "temp-directory", "output-directory",
             "database-url", "extra-model-paths-config"]:
    it.add_argument("--" + name, required=True)
for name in ["disable-auto-launch", "cpu"]:
    it.add_argument("--" + name, action="store_true", required=True)
it = it.parse_args()
assert os.environ["CUDA_VISIBLE_DEVICES"] == "", "no card"
assert all(os.path.isdir(f) for f in [it.user_directory, it.input_directory, it.temp_directory, it.output_directory])
assert "base_path" in open(it.extra_model_paths_config).read()
open(it.database_url.removeprefix("sqlite:///"), "w").close()

class Handler(http.server.BaseHTTPRequestHandler):
    def say(self, value):
        text = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def do_GET(self):
        self.say({"1": {"status": {"completed": True}}} if "history" in self.path else {"system": {}})
    def do_POST(self):
        prompt = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["prompt"]
        save = next(n["inputs"] for n in prompt.values() if n["class_type"] == "SaveImage")
        open(f"{it.output_directory}/{save['filename_prefix']}_00001_.png", "w").close()
        self.say({"prompt_id": "1"})
    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer((it.listen, int(it.port)), Handler).serve_forever()
"#;

/// A request by hand; the body of an answer with 200.
fn ask(port: u16, head: &str, body: &str) -> Option<Value> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).ok()?;
    let length = body.len();
    write!(
        stream,
        "{head} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    (head.split(' ').nth(1)? == "200").then(|| serde_json::from_str(body).ok())?
}

/// Plans, installs and runs two instances of the ComfyUI at `url`; each has to make a picture without a model.
fn two_instances_make_pictures(url: &str, packages: bool, patience: Duration) {
    let mut machine = Machine::with(|mapping| {
        if !packages {
            // Nothing is fetched from anywhere else.
            mapping["services"]["comfyui"]["install"]["python"] = json!({});
        }
    });
    machine.redis.start();
    let card = json!({ "vram_mib": 24576 });
    let inventory = json!({ "mock": true, "gpus": [card, card], "cpu_cores": 8, "memory_mib": 65536 });
    fs::write(machine.path("mock.json"), inventory.to_string()).unwrap();
    let command = |line: &str| {
        let mut command = machine.command(line);
        command.env("WORKER_CONNECTORS", "comfyui:2").env("COMFYUI_BASE_PORT", machine.base.to_string());
        command.env("COMFYUI_REPO_URL", url);
        // Where packages come from is the machine's affair.
        let places = ["HOME", "PIP_", "UV_", "SSL_", "REQUESTS_", "HTTP_PROXY", "HTTPS_PROXY", "https_proxy"];
        let passed = std::env::vars().filter(|(key, _)| places.iter().any(|it| key.starts_with(it)));
        command.envs(passed);
        command
    };
    let built = command("env-build simulation --inventory mock.json").output().unwrap();
    assert!(built.status.success(), "{}", told(&built).1);
    let mut up = Fleet::spawned(command("run --json"));
    let names = ["comfyui-gpu0", "comfyui-gpu1"];
    let began = Instant::now();
    while !names.iter().all(|it| machine.state(it) == "healthy") {
        let seen = machine.service(names[0]);
        let cause = seen["cause"].to_string();
        assert!(!cause.contains("its install failed") && began.elapsed() < patience, "{seen}");
        std::thread::park_timeout(Duration::from_millis(100));
    }
    let workflow = json!({ "prompt": {
        "1": { "class_type": "EmptyImage", "inputs": { "width": 16, "height": 16, "batch_size": 1, "color": 255 } },
        "2": { "class_type": "ImageInvert", "inputs": { "image": ["1", 0] } },
        "3": { "class_type": "SaveImage", "inputs": { "images": ["2", 0], "filename_prefix": "it" } },
    } });
    for (name, port) in names.iter().zip(machine.base..) {
        assert!(ask(port, "GET /system_stats", "").is_some(), "{name} answers on {port}");
        let answer = ask(port, "POST /prompt", &workflow.to_string()).expect("the workflow is taken");
        let id = answer["prompt_id"].as_str().unwrap().to_owned();
        until("the picture is made", || {
            let history = ask(port, &format!("GET /history/{id}"), "").unwrap_or_default();
            history[&id]["status"]["completed"] == true
        });
        let workspace = machine.path(".roster/workspace");
        assert!(workspace.join(format!("outputs/{name}/it_00001_.png")).exists());
        assert!(workspace.join(format!("instances/{name}/comfyui.db")).exists(), "a database of its own");
    }
    assert_eq!(up.stop().0, Some(0));
}

#[test]
fn two_instances_of_one_install_run_from_the_plan_each_with_folders_of_its_own() {
    let elsewhere = tempfile::tempdir().unwrap();
    let folder = elsewhere.path().join("comfyui");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("main.py"), PRETENDS).unwrap();
    let url = installing::repository(&folder);
    two_instances_make_pictures(&url, false, DEADLINE);
}

#[test]
fn a_real_comfyui_runs_a_workflow_on_each_of_two_instances() {
    let Ok(checkout) = std::env::var(VARIABLE) else {
        eprintln!("not run: {VARIABLE} names no checkout of ComfyUI");
        return;
    };
    two_instances_make_pictures(&format!("file://{checkout}"), true, Duration::from_hours(1));
}
