//! What llmock does not play of OpenAI's protocol, by a double that the official client drives as well.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use insta::assert_snapshot;
use serde_json::{Value, json};
use spec::env::Secret;
use worker::Kind::{self, Permanent, Retryable};
use worker::connectors::openai::OpenAi;

use crate::openai_double::Double;
use crate::support::{Attempt, Python, egress, hasty, meaning, png, run};

fn connector(double: &Double) -> OpenAi {
    OpenAi::new(double.base.clone(), Secret::new("sk-test".to_owned()), egress()).waiting(hasty())
}

async fn chat(double: &Double, model: &str) -> Result<Value, worker::Failure> {
    run(&connector(double), "openai_text", json!({ "model": model, "prompt": "a cat" })).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_client_takes_the_double_for_openai() {
    let Some(python) = Python::find() else { return };
    let double = Double::start().await;
    let script = r#"
import base64, io, sys, openai
it = openai.OpenAI(api_key='sk-test', base_url=sys.argv[1], max_retries=1)
def said(model):
    chunks = it.chat.completions.create(model=model, messages=[{'role': 'user', 'content': 'a cat'}], stream=True,
                                        stream_options={'include_usage': True})
    return list(chunks)
chunks = said('plain')
assert ''.join(c.choices[0].delta.content or '' for c in chunks if c.choices) == 'A cat'
assert chunks[-1].usage.total_tokens == 12
assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == 'stop'
assert ''.join(t.function.arguments for c in said('tools') if c.choices for t in c.choices[0].delta.tool_calls or []) == '{"city":"Oslo"}{}'
assert said('limits') and said('again') and said('odd-lines')
for model, error in [('limits-for-long', openai.RateLimitError), ('not-again', openai.InternalServerError), ('used-up', openai.APIError)]:
    try:
        said(model)
        raise SystemExit(model)
    except error:
        pass
whole = it.responses.create(model='plain', input='a cat', stream=True)
assert [e for e in whole][-1].response.output_text == 'A cat'
picture = base64.b64decode(sys.argv[2])
edited = it.images.edit(model='plain', prompt='greyer', image=[('a.png', picture, 'image/png'), ('b.png', picture, 'image/png')])
assert base64.b64decode(edited.data[0].b64_json) == picture and edited.usage.total_tokens == 2
assert len(it.images.generate(model='plain', prompt='a cat', n=2).data) == 2
"#;
    python.script(script, &[double.base.as_str(), &BASE64_STANDARD.encode(png())]).await;
}

#[tokio::test]
async fn a_streamed_chat_is_told_as_the_api_tells_it_whole() {
    let double = Double::start().await;
    let said = chat(&double, "plain").await.unwrap();
    assert_snapshot!(said, @r#"{"choices":[{"finish_reason":"stop","index":0,"message":{"content":"A cat","role":"assistant"}}],"created":1,"id":"chatcmpl-1","model":"plain","object":"chat.completion","usage":{"completion_tokens":7,"prompt_tokens":5,"total_tokens":12}}"#);
    let said = chat(&double, "odd-lines").await.unwrap();
    assert_snapshot!(said["choices"], @r#"[{"finish_reason":"length","index":0,"message":{"content":"A cat","role":"assistant"}}]"#);
    let said = chat(&double, "tools").await.unwrap();
    assert_snapshot!(said["choices"], @r#"[{"finish_reason":"tool_calls","index":0,"message":{"content":null,"role":"assistant","tool_calls":[{"function":{"arguments":"{\"city\":\"Oslo\"}","name":"weather"},"id":"call_1","type":"function"},{"function":{"arguments":"{}","name":"clock"},"id":"call_2","type":"function"}]}}]"#);
    let said = chat(&double, "chances").await.unwrap();
    assert_snapshot!(said["choices"], @r#"[{"finish_reason":"stop","index":0,"logprobs":{"content":[{"bytes":null,"logprob":-0.1,"token":"A","top_logprobs":[]},{"bytes":null,"logprob":-0.1,"token":"B","top_logprobs":[]}]},"message":{"content":"AB","role":"assistant"}}]"#);
}

#[tokio::test]
async fn every_way_in_which_a_chat_ends_badly_means_what_it_should() {
    let double = Double::start().await;
    let table: [(&str, Kind, bool, &str); 6] = [
        ("refuses", Permanent, false, "OpenAI refuses: I cannot."),
        ("filter", Permanent, false, "content filter"),
        ("no-reason", Retryable, true, "it ended before it was complete"),
        ("no-done", Retryable, true, "it ended before it was complete"),
        ("used-up", Permanent, false, "no money"),
        ("breaks", Retryable, false, "it broke"),
    ];
    for (model, kind, suspect, words) in table {
        let failure = chat(&double, model).await.unwrap_err();
        assert_eq!(meaning(&failure), (kind, suspect, None), "{model}: {failure}");
        assert!(failure.message.contains(words), "{model}: {failure}");
        assert_eq!(double.asked(model), 1, "{model}");
    }
}

#[tokio::test]
async fn limits_are_kept_and_the_service_decides_about_tries() {
    let double = Double::start().await;
    chat(&double, "limits").await.unwrap();
    assert_eq!(double.asked("limits"), 2);
    let failure = chat(&double, "limits-for-long").await.unwrap_err();
    assert_eq!(meaning(&failure), (Retryable, false, Some(360_000)));
    assert_eq!(double.asked("limits-for-long"), 1);
    let failure = chat(&double, "not-again").await.unwrap_err();
    assert_eq!((failure.kind, double.asked("not-again")), (Retryable, 1));
    chat(&double, "again").await.unwrap();
    assert_eq!(double.asked("again"), 2);
}

#[tokio::test]
async fn every_end_of_a_response_means_what_it_should() {
    let double = Double::start().await;
    let table: [(&str, Kind, bool, &str); 9] = [
        ("failed", Retryable, false, "words of the service"),
        ("limited", Retryable, false, "words of the service"),
        ("policy", Permanent, false, "words of the service"),
        ("error", Retryable, false, "words of the service"),
        ("filter", Permanent, false, "content filter"),
        ("refuses", Permanent, false, "OpenAI refuses: I cannot."),
        ("cut", Retryable, true, "it ended before it was complete"),
        ("not-a-response", Retryable, false, "it is complete without a response"),
        ("few-tokens", Retryable, false, ""),
    ];
    for (model, kind, suspect, words) in table {
        let payload = json!({ "model": model, "input": "a cat" });
        match run(&connector(&double), "openai_responses", payload).await {
            // The job's own limit ended it, and it gets what there is.
            Ok(made) => assert_eq!((model, &made["status"]), ("few-tokens", &json!("incomplete"))),
            Err(failure) => {
                assert_eq!(meaning(&failure), (kind, suspect, None), "{model}: {failure}");
                assert!(failure.message.contains(words), "{model}: {failure}");
            }
        }
    }
    let attempt = Attempt::new("openai_responses", json!({ "model": "picture", "input": "draw a cat" }));
    let made = attempt.run(&connector(&double)).await.unwrap();
    assert_eq!(attempt.bytes(&made["output"][0]["image"]).await, png());
    assert!(made["output"][0]["result"].is_null());
}

#[tokio::test]
async fn pictures_are_sent_fetched_and_stored() {
    let double = Double::start().await;
    let here = double.base.join("/file/a.png").unwrap().to_string();
    let inline = format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png()));
    let payload = json!({ "model": "plain", "prompt": "greyer", "images": [here, inline], "mask": inline });
    let attempt = Attempt::new("openai_img2img", payload);
    let made = attempt.run(&connector(&double)).await.unwrap();
    assert_eq!(attempt.bytes(&made["images"][0]["image"]).await, png());
    assert_eq!(made["usage"]["total_tokens"], 2);
    let attempt = Attempt::new("openai_image", json!({ "model": "plain", "prompt": "a cat", "n": 2 }));
    let made = attempt.run(&connector(&double)).await.unwrap();
    assert_eq!(made["images"][1]["revised_prompt"], "a grey cat");
    assert_eq!(attempt.bytes(&made["images"][1]["image"]).await, png());
}

#[tokio::test]
async fn pictures_that_cannot_be_sent_or_fetched_are_told_apart() {
    let double = Double::start().await;
    let edit =
        |image: &str| ("openai_img2img", json!({ "model": "plain", "prompt": "x", "images": [image] }));
    let make = |model: &str| ("openai_image", json!({ "model": model, "prompt": "x" }));
    let table: [((&str, Value), Kind, &str); 8] = [
        (edit("data:image/png,plain"), Permanent, "is a data URL without `;base64,`"),
        (edit("data:image/png;base64,***"), Permanent, "is no base64"),
        (edit("data:image/png;base64,AAAA"), Permanent, "is no picture"),
        (edit("http://10.0.0.1/a.png"), Permanent, "which is not a public address"),
        (make("elsewhere"), Permanent, "which is not a public address"),
        (make("none"), Retryable, "there is none"),
        (make("list"), Retryable, "the answer is not of its form"),
        (make("policy"), Permanent, "words of the service"),
    ];
    for ((kind, payload), expected, words) in table {
        let failure = run(&connector(&double), kind, payload.clone()).await.unwrap_err();
        assert_eq!((failure.kind, failure.suspect), (expected, false), "{payload}: {failure}");
        assert!(failure.message.contains(words), "{payload}: {failure}");
    }
    for (kind, payload) in [
        ("openai_image", json!({ "prompt": "x", "stream": true })),
        ("openai_embeddings", json!({ "input": "x" })),
        ("openai_text", json!({ "prompt": "x", "messages": [{ "role": "user" }] })),
        ("openai_text", json!({ "prompt": "x", "n": 2 })),
        ("openai_responses", json!({ "input": "x", "background": true })),
    ] {
        let failure = run(&connector(&double), kind, payload.clone()).await.unwrap_err();
        assert!(failure.message.starts_with("the payload is not of the form"), "{payload}: {failure}");
    }
}
