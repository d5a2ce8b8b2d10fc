//! A site with what browsers meet.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// It ends with its test's runtime.
#[derive(Clone)]
pub struct Site {
    pub at: String,
    /// The paths that were asked for.
    pub asked: Arc<Mutex<Vec<String>>>,
}

impl Site {
    /// At a free port of this address; what its pages call `{elsewhere}` is at another.
    pub async fn start(at: IpAddr, elsewhere: &str) -> Self {
        let listener = TcpListener::bind((at, 0)).await.unwrap();
        let site = Self { at: listener.local_addr().unwrap().to_string(), asked: Arc::default() };
        let (asked, elsewhere) = (site.asked.clone(), elsewhere.to_owned());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, asked.clone(), elsewhere.clone()));
            }
        });
        site
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }

    pub fn was_asked(&self, path: &str) -> bool {
        self.asked.lock().unwrap().iter().any(|it| it.starts_with(path))
    }
}

async fn answer(mut stream: TcpStream, asked: Arc<Mutex<Vec<String>>>, elsewhere: String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    asked.lock().unwrap().push(path.clone());
    let cookie =
        head.lines().find_map(|it| it.to_ascii_lowercase().strip_prefix("cookie: ").map(str::to_owned));
    let (status, header, body) = match path.split('?').next().unwrap() {
        "/form" => ("200 OK", String::new(), FORM.to_owned()),
        "/done" => ("200 OK", String::new(), format!("<title>Done</title><p id=query>{path}</p>")),
        "/silence" => return std::future::pending().await,
        "/away" => ("302 Found", format!("Location: http://{elsewhere}/secret\r\n"), String::new()),
        "/picture" => {
            ("200 OK", String::new(), format!("<title>Picture</title><img src='http://{elsewhere}/secret'>"))
        }
        "/cookie" => (
            "200 OK",
            "Set-Cookie: job=1\r\n".to_owned(),
            format!("<p>{}</p>", cookie.unwrap_or_else(|| "none".into())),
        ),
        "/dialogs" => ("200 OK", String::new(), DIALOGS.to_owned()),
        "/calls" => ("200 OK", String::new(), CALLS.to_owned()),
        "/links" => ("200 OK", String::new(), LINKS.to_owned()),
        "/file" => ("200 OK", "Content-Disposition: attachment\r\n".to_owned(), "file".to_owned()),
        "/nothing" => ("204 No Content", String::new(), String::new()),
        _ => ("404 Not Found", String::new(), "<title>Missing</title>".to_owned()),
    };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n{header}\r\n{body}"
    );
    _ = stream.write_all(answer.as_bytes()).await;
    _ = stream.shutdown().await;
}

const FORM: &str = r#"<title>Form</title>
<style>body { margin: 0; height: 2000px } #later { display: none }</style>
<form action="/done">
  <input name="name" value="old"> <textarea name="text"></textarea> <input type="date" name="day">
  <select name="size"><option value="s">Small</option><option value="l">Large</option></select>
  <button id="send">Send</button>
</form>
<ul><li data-id="1">One</li><li data-id="2">Two</li></ul>
<p id="later">Later</p>
<script>setTimeout(() => { later.style.display = 'block' }, 100)</script>"#;

const DIALOGS: &str = r#"<title>Dialogs</title><button id="ask" onclick="answer.textContent = confirm('sure?')">Ask</button>
<p id="answer"></p><script>alert('hello'); prompt('name?'); onbeforeunload = (it) => { it.preventDefault() }</script>"#;

const LINKS: &str = r##"<title>Links</title><a id="fragment" href="#below">fragment</a> <a id="file" href="/file">file</a>
<a id="nothing" href="/nothing">nothing</a> <a id="window" href="/done?window" target="_blank">window</a>
<a id="late" href="/links" onclick="setTimeout(() => location.assign('/done?late')); return false">late</a> <p id="below">below</p>"##;

/// Asks the machine that its query names who it is to others, as calls between browsers begin, and says when it gave up.
const CALLS: &str = r"<title>Calls</title><script>
const urls = location.search.slice(1);
const servers = [{ urls: `stun:${urls}` }, { urls: `turn:${urls}`, username: 'a', credential: 'b' }];
const call = new RTCPeerConnection({ iceServers: servers });
call.onicegatheringstatechange = () => {
  if (call.iceGatheringState === 'complete') document.body.innerHTML = '<p id=over>over</p>';
};
call.createDataChannel('a');
call.setLocalDescription();
</script><body></body>";
