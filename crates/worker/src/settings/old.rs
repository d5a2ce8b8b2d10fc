//! The variables of the TypeScript system's workers, read wherever ours are not set: so a worker of ours takes the place of one of
//! theirs without a change of its environment.

use reqwest::Url;
use spec::env::{EnvSource, NotUnicode};
use spec::ids::EnvKey;

/// A type of worker there: our connector, and what it accepts. As its mapping has it.
type Row = (&'static str, &'static str, &'static str);

const TYPES: &[Row] = &[
    ("comfyui", "comfyui", "comfyui"),
    ("comfyui-remote", "comfyui-remote", "comfyui"),
    ("emprops-app", "comfyui", "comfyui"),
    ("a1111", "a1111", "a1111"),
    ("mock", "simulation", "mock"),
    ("simulation-http", "simulation", "simulation"),
    ("simulation-websocket", "simulation", "simulation"),
    ("openai", "openai", "openai_text,openai_image,openai_img2img,openai_responses"),
    ("openai-response", "openai", "openai"),
    ("ollama", "ollama", "ollama,text_generation,chat_completion,embeddings"),
];

/// Where a worker's type stands.
const NAMES: [&str; 4] = ["CONNECTORS", "WORKERS", "WORKER_CONNECTORS", "WORKER_SERVICES"];

/// Answers for our variables out of theirs.
pub(super) struct Old<'a>(pub &'a dyn EnvSource);

impl EnvSource for Old<'_> {
    fn get(&self, key: &EnvKey) -> Result<Option<String>, NotUnicode> {
        let own = self.0.get(key)?.filter(|it| !it.is_empty());
        if own.is_some() {
            return Ok(own);
        }
        match key.as_str() {
            "REDIS_URL" => self.redis(),
            "REDIS_URL_FILE" => self.first(&["HUB_REDIS_URL_FILE"]),
            "CONNECTOR" => Ok(self.row()?.map(|it| it.1.into())),
            "ACCEPTS" => Ok(self.row()?.map(|it| it.2.into())),
            "SERVICE_URL" => self.service(),
            "COMFYUI_REMOTE_URL" => self.remote(),
            "COMFYUI_REMOTE_TOKEN" => self.first(&["WORKER_COMFYUI_REMOTE_API_KEY"]),
            // Their ComfyUI is a fork of their own.
            "COMFYUI_DIALECT" => {
                Ok(self.theirs()?.filter(|it| it.1.starts_with("comfyui")).map(|_| "fork".into()))
            }
            "WORKER_CAPABILITIES" => self.capabilities(),
            _ => Ok(None),
        }
    }
}

impl Old<'_> {
    /// The first of these that says something.
    fn first(&self, names: &[&str]) -> Result<Option<String>, NotUnicode> {
        for name in names {
            let key = name.parse().expect("these are names of variables");
            if let Some(value) = self.0.get(&key)?.filter(|it| !it.is_empty()) {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn redis(&self) -> Result<Option<String>, NotUnicode> {
        if let Some(url) = self.first(&["HUB_REDIS_URL"])? {
            return Ok(Some(url));
        }
        let Some(host) = self.first(&["WORKER_REDIS_API_HOST"])? else { return Ok(None) };
        let port = self.first(&["WORKER_REDIS_API_PORT"])?.unwrap_or_else(|| "6379".into());
        Ok(Some(if host.contains("://") { host } else { format!("redis://{host}:{port}") }))
    }

    /// The only type that it is, without its count.
    fn row(&self) -> Result<Option<&'static Row>, NotUnicode> {
        let named = self.first(&NAMES)?.unwrap_or_default();
        let name = named.split(':').next().unwrap_or_default().trim();
        let one = !named.contains(',');
        Ok(TYPES.iter().find(|row| one && row.0 == name))
    }

    /// The same, for a worker that is not configured anew: else it says where its service is, and how to speak with it.
    fn theirs(&self) -> Result<Option<&'static Row>, NotUnicode> {
        if self.first(&["CONNECTOR"])?.is_some() { Ok(None) } else { self.row() }
    }

    /// The address of its service on this machine: a port of its own, or the first one plus its GPU.
    fn service(&self) -> Result<Option<String>, NotUnicode> {
        let (own, base, first) = match self.theirs()?.map(|it| it.1) {
            Some("comfyui") => ("COMFYUI", ["WORKER_BASE_COMFYUI_PORT", "COMFYUI_BASE_PORT"], 8188),
            Some("a1111") => ("A1111", ["WORKER_BASE_A1111_PORT", "A1111_BASE_PORT"], 7860),
            _ => return Ok(None),
        };
        let name = |of: &str| [format!("{own}_{of}"), format!("WORKER_{own}_{of}")];
        let (hosts, ports) = (name("HOST"), name("PORT"));
        let host = self.first(&hosts.each_ref().map(String::as_str))?.unwrap_or_else(|| "127.0.0.1".into());
        let port = if let Some(port) = self.first(&ports.each_ref().map(String::as_str))? {
            port
        } else {
            let gpu = self.first(&["GPU_INDEX", "CUDA_VISIBLE_DEVICES"])?.unwrap_or_default();
            let gpu: u16 = gpu.parse().unwrap_or(0);
            let base = self.first(&base)?.and_then(|it| it.parse().ok()).unwrap_or(first);
            u16::saturating_add(base, gpu).to_string()
        };
        Ok(Some(format!("http://{host}:{port}")))
    }

    /// The address of a ComfyUI elsewhere, with its user.
    fn remote(&self) -> Result<Option<String>, NotUnicode> {
        let part = |of: &str| self.first(&[&format!("WORKER_COMFYUI_REMOTE_{of}")]);
        let Some(host) = part("HOST")? else { return Ok(None) };
        let scheme = if part("SECURE")?.as_deref() == Some("true") { "https" } else { "http" };
        let port = part("PORT")?.map(|it| format!(":{it}")).unwrap_or_default();
        let text = format!("{scheme}://{host}{port}");
        // What is no address is refused as it stands.
        let Ok(mut address) = Url::parse(&text) else { return Ok(Some(text)) };
        for (of, set) in [
            ("USERNAME", Url::set_username as fn(&mut Url, &str) -> _),
            ("PASSWORD", |url, it| url.set_password(Some(it))),
        ] {
            if let Some(it) = part(of)? {
                let _ = set(&mut address, &it);
            }
        }
        Ok(Some(address.into()))
    }

    fn capabilities(&self) -> Result<Option<String>, NotUnicode> {
        let mut has = serde_json::json!({});
        for (name, amount) in [("WORKER_RAM_GB", "ram_gb"), ("WORKER_GPU_MEMORY_GB", "gpu_memory_gb")] {
            if let Some(number) = self.first(&[name])? {
                // What is no number is refused with the document.
                let number = number.parse::<f64>().map_or(serde_json::Value::from(number), Into::into);
                has["hardware"][amount] = number;
            }
        }
        if let Some(workflow) = self.first(&["WORKER_WORKFLOW_ID"])? {
            has["workflow"] = workflow.into();
        }
        Ok(has.as_object().is_some_and(|it| !it.is_empty()).then(|| has.to_string()))
    }
}
