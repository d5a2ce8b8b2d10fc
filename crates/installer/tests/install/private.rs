//! A private repository behind TLS: real Git, Git's own HTTP backend, and a server that asks for a token.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use installer::{Installer, Limits};
use serde_json::json;

use super::support::{Place, Seen, block_on, failures, git, passed, repository};

const TOKEN: &str = "canary-of-git";

/// Serves the repositories of a folder with `git http-backend` to who has the token. At each request it looks whether
/// anybody on the machine could read the token in the arguments of a program. Prints its port, then a line a request.
const SERVER: &str = r#"
import base64, glob, http.server, os, ssl, subprocess, sys
folder, certificate, key = sys.argv[1:]
token = os.environ.pop("TOKEN")
wanted = "Basic " + base64.b64encode(b"x-access-token:" + token.encode()).decode()

def is_seen():
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            if any(it.encode() in open(path, "rb").read() for it in (token, wanted[6:])):
                return True
        except OSError:
            pass
    return False

class Handler(http.server.BaseHTTPRequestHandler):
    def serve(self):
        said = self.headers.get("Authorization")
        told = "none" if said is None else "right" if said == wanted else "wrong"
        print(told, "SEEN" if is_seen() else "unseen", flush=True)
        if said != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="r"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        outside = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        environment = dict(
            outside, GIT_PROJECT_ROOT=folder, GIT_HTTP_EXPORT_ALL="1", PATH_INFO=path, QUERY_STRING=query,
            REQUEST_METHOD=self.command, CONTENT_TYPE=self.headers.get("Content-Type", ""),
            CONTENT_LENGTH=str(len(body)), HTTP_CONTENT_ENCODING=self.headers.get("Content-Encoding", ""),
            GIT_PROTOCOL=self.headers.get("Git-Protocol", ""))
        answer = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True).stdout
        head, _, rest = answer.partition(b"\r\n\r\n")
        lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(lines.pop("Status", "200").split()[0]))
        for name, value in lines.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest)
    do_GET = do_POST = serve
    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
"#;

/// A server that runs, and what it prints.
struct Host {
    process: Child,
    port: String,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Host {
    fn start(folder: &Path) -> Self {
        let (key, certificate) = (folder.join("key.pem"), folder.join("certificate.pem"));
        let mut openssl = Command::new("openssl");
        openssl.args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
        ]);
        openssl.args(["-addext", "subjectAltName=DNS:localhost"]).stderr(Stdio::null());
        openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate);
        assert!(openssl.status().expect("openssl is there").success());
        let mut python = Command::new("python3");
        python.args(["-c", SERVER]).arg(folder).arg(&certificate).arg(&key).env("TOKEN", TOKEN);
        let mut process = python.stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = out.next().expect("the port of the server");
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || out.try_for_each(|it| sender.send(it)));
        Self { process, port, lines }
    }

    /// The requests since the last time.
    fn asked(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether a file below a folder holds the token, as it is or as it is sent.
fn holds_the_token(folder: &Path) -> bool {
    let sent = ["eC1hY2Nlc3MtdG9rZW46", TOKEN];
    fs::read_dir(folder).unwrap().flatten().any(|it| {
        if it.file_type().unwrap().is_dir() {
            return holds_the_token(&it.path());
        }
        let text = String::from_utf8_lossy(&fs::read(it.path()).unwrap_or_default()).into_owned();
        sent.iter().any(|it| text.contains(it))
    })
}

#[test]
fn a_private_repository_is_had_with_a_token_that_nobody_sees() {
    let mut place = Place::new();
    let elsewhere = place.elsewhere("hosted");
    repository(&elsewhere.join("private"), &[("main.py", "")]);
    repository(&elsewhere.join("node"), &[("it.py", "")]);
    let host = Host::start(&elsewhere);
    let url = |name: &str| format!("https://localhost:{}/{name}/.git", host.port);
    place.install["source"] = json!({ "git": { "url": url("private"), "branch": "main" } });
    place.install["tokens"] = json!({ "localhost": "GIT_TOKEN" });
    place.variables = vec!["GIT_TOKEN"];
    let commit = git(&elsewhere.join("node"), &["rev-parse", "HEAD"]);
    place.nodes(&json!([{ "name": "node", "url": url("node"), "commit": commit.trim() }]));
    let apply = |place: &Place| {
        let mut passed = passed();
        passed.insert("GIT_SSL_CAINFO".into(), elsewhere.join("certificate.pem").display().to_string());
        let installer =
            Installer::open(&place.order(), &place.environment, passed, Limits::default()).unwrap();
        let seen = Seen::default();
        let report = block_on(installer.apply(&seen)).unwrap();
        let told = format!("{installer:?} {report:?} {:?} {:?}", place.status(), seen.0.lock().unwrap());
        assert!(!told.contains(TOKEN), "{told}");
        failures(&report)
    };

    let failed = apply(&place);
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert!(failed.iter().all(|it| it.contains("fetched")), "{failed:?}");
    let asked = host.asked();
    assert!(asked.contains(&"none unseen".to_owned()), "{asked:?}");
    assert!(asked.iter().all(|it| !it.contains("right") && !it.contains("SEEN")), "{asked:?}");

    place.environment.insert("GIT_TOKEN".parse().unwrap(), "a-wrong-token".into());
    assert_eq!(apply(&place).len(), 2);
    assert!(host.asked().contains(&"wrong unseen".to_owned()));

    // As a container has it: in a file.
    place.environment.clear();
    let file = elsewhere.join("token");
    fs::write(&file, TOKEN).unwrap();
    place.environment.insert("GIT_TOKEN_FILE".parse().unwrap(), file.display().to_string());
    assert_eq!(apply(&place), [""; 0]);
    assert!(place.home("current/source/custom_nodes/node/it.py").exists());
    let asked = host.asked();
    assert!(asked.iter().all(|it| it == "right unseen"), "{asked:?}");
    assert!(!holds_the_token(&place.workspace()));
}
