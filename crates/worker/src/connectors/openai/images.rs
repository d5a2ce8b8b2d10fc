//! Pictures: fetched for edits, and stored as they come.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::Response;
use reqwest::multipart::{Form, Part};
use serde_json::{Map, Value, json};

use super::OpenAi;
use crate::connector::Task;
use crate::egress::Egress;
use crate::failure::{Failure, Symptom};
use crate::http;
use crate::outputs::Stored;

/// The largest picture that is sent, as OpenAI has it.
const PICTURE: usize = 50 << 20;

/// A picture that a job names.
struct Picture {
    bytes: Vec<u8>,
    kind: &'static str,
}

/// Sends an edit, with the pictures that it names.
pub(super) async fn edit(
    it: &OpenAi,
    task: &Task,
    mut body: Map<String, Value>,
) -> Result<Response, Failure> {
    let mut pictures = Vec::new();
    for address in body.remove("images").as_ref().and_then(Value::as_array).into_iter().flatten() {
        pictures.push(("image[]", fetched(&it.egress, address).await?));
    }
    if let Some(mask) = body.remove("mask") {
        pictures.push(("mask", fetched(&it.egress, &mask).await?));
    }
    let url = it.base.join("images/edits").map_err(|it| Failure::permanent(it.to_string()))?;
    it.send(task, "images/edits", || {
        let mut form = Form::new();
        for (name, value) in &body {
            form = form.text(name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        for (at, (name, picture)) in pictures.iter().enumerate() {
            let ending = picture.kind.rsplit('/').next().unwrap_or_default();
            let part = Part::bytes(picture.bytes.clone()).file_name(format!("{at}.{ending}"));
            let part = part.mime_str(picture.kind).map_err(|it| Failure::permanent(it.to_string()))?;
            form = form.part(*name, part);
        }
        Ok(it.client.post(url.clone()).multipart(form))
    })
    .await
}

async fn fetched(egress: &Egress, address: &Value) -> Result<Picture, Failure> {
    let address = address.as_str().unwrap_or_default();
    let invalid = |why: &str| Failure::of(Symptom::Invalid, format!("a picture of the job {why}"));
    let bytes = if let Some(data) = http::data_url(address) {
        data.map_err(invalid)?
    } else {
        let (mut answer, mut bytes) = (egress.get(address).await?, Vec::new());
        while let Some(chunk) = answer.chunk().await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > PICTURE {
                return Err(invalid("has more than 50 MB"));
            }
        }
        bytes
    };
    let kind = infer::get(&bytes).filter(|it| it.matcher_type() == infer::MatcherType::Image);
    let kind = kind.ok_or_else(|| invalid("is no picture"))?.mime_type();
    Ok(Picture { bytes, kind })
}

/// The pictures of an answer, stored; what else it says stays.
pub(super) async fn stored(it: &OpenAi, task: &Task, answer: Response) -> Result<Value, Failure> {
    let doing = "reading the pictures of OpenAI";
    let mut answer: Map<String, Value> = http::json(answer, doing).await?;
    let pictures = answer.remove("data");
    let pictures = pictures.as_ref().and_then(Value::as_array).filter(|it| !it.is_empty());
    let pictures =
        pictures.ok_or_else(|| Failure::of(Symptom::Malformed, format!("{doing}: there is none")))?;
    let mut outputs = Vec::new();
    for (at, picture) in pictures.iter().enumerate() {
        let name = format!("image-{at}");
        let stored = match (picture["b64_json"].as_str(), picture["url"].as_str()) {
            (Some(text), _) => decoded(task, &name, text).await?,
            (None, Some(url)) => copied(it, task, &name, url).await?,
            (None, None) => return Err(Failure::of(Symptom::Malformed, format!("{doing}: one is nowhere"))),
        };
        outputs.push(json!({ "image": stored, "revised_prompt": picture["revised_prompt"] }));
    }
    answer.insert("images".into(), outputs.into());
    Ok(answer.into())
}

/// A response whose pictures, if it made some, are stored: each `result` of an image generation becomes `image`.
pub(super) async fn stored_within(task: &Task, mut response: Value) -> Result<Value, Failure> {
    let calls = response.get_mut("output").and_then(Value::as_array_mut).into_iter().flatten();
    for (at, call) in calls.filter(|it| it["type"] == "image_generation_call").enumerate() {
        let Some(Value::String(text)) = call.as_object_mut().and_then(|it| it.remove("result")) else {
            continue;
        };
        call["image"] = json!(decoded(task, &format!("image-{at}"), &text).await?);
    }
    Ok(response)
}

async fn decoded(task: &Task, name: &str, text: &str) -> Result<Stored, Failure> {
    let bytes = BASE64_STANDARD.decode(text);
    let bytes = bytes.map_err(|_| Failure::of(Symptom::Malformed, "a picture of OpenAI is no base64"))?;
    task.outputs.put(name, &bytes).await
}

/// An address in an answer of the service is as foreign as one of the job. Some servers put the picture into it.
async fn copied(it: &OpenAi, task: &Task, name: &str, url: &str) -> Result<Stored, Failure> {
    if let Some(data) = http::data_url(url) {
        let malformed =
            |why| Failure::of(Symptom::Malformed, format!("the address of a picture of OpenAI {why}"));
        return task.outputs.put(name, &data.map_err(malformed)?).await;
    }
    let (mut answer, mut file) = (it.egress.get(url).await?, task.outputs.file(name));
    while let Some(chunk) = answer.chunk().await? {
        file.write(&chunk).await?;
    }
    file.finish().await
}
