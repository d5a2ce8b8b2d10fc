//! Sections 3.1, 4 and 8.2: what the API writes and says.

use broker::legacy::Legacy;
use broker::{Broker, Error, Job, Submission, Workflow};
use serde_json::{Value, json};

use crate::server::Server;
use crate::sheet::Sheet;

fn job(id: &str) -> Job {
    Job::new("comfyui".parse().unwrap()).id(id.parse().unwrap()).payload(json!({ "prompt": "a cat" }))
}

async fn submit(broker: &Legacy, job: Job) -> Vec<Submission> {
    broker.submit(&[job]).await.unwrap()
}

/// Every field that a new job has, with what it has where nothing is said.
fn written() -> Value {
    json!({
        "id": "<text>", "service_required": "comfyui", "priority": "50", "payload": "{\"prompt\":\"a cat\"}",
        "requirements": "", "customer_id": "", "created_at": "<iso>", "status": "pending", "retry_count": "0",
        "max_retries": "3", "workflow_id": "", "workflow_priority": "", "workflow_datetime": "",
        "current_step": "", "total_steps": "", "job_trace_id": "temp-trace-id", "job_span_id": "temp-span-id",
        "workflow_trace_id": "temp-trace-id", "workflow_span_id": "temp-span-id", "ctx": "",
    })
}

pub async fn a_job_is_written_as_the_api_writes_it(sheet: &Sheet) -> Option<()> {
    let server = Server::start().await?;
    let (broker, ear) = (server.legacy().await, server.listen().await);
    let told = submit(&broker, job("a-1")).await;
    sheet.eq("8.2", "it is accepted", &told, &vec![Submission::Accepted("a-1".parse().unwrap())]);
    sheet.form("3.1", "the job's hash", &server.fields("job:a-1").await, &written());
    sheet.eq("2", "a job lasts", &server.ttl("job:a-1").await, &-1);
    sheet.eq("2", "the line lasts", &server.ttl("jobs:pending").await, &-1);
    sheet.eq(
        "2",
        "nothing else is written",
        &server.keys("*").await,
        &vec!["job:a-1".into(), "jobs:pending".into()],
    );

    let created = server.hash("job:a-1").await["created_at"].clone();
    let at = broker.status(&"a-1".parse().unwrap()).await.unwrap().unwrap().submitted;
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
    let expected = 50.0 * 1e15 - ((at / 1000) as f64);
    let score: f64 = server.ask(&["ZSCORE", "jobs:pending", "a-1"]).await;
    sheet.eq("4", "the score", &score.to_bits(), &expected.to_bits());

    let heard = ear.heard().await;
    sheet.eq("8.2", "one message", &heard.0.len(), &1);
    let message = json!({
        "job_id": "a-1", "service_required": "comfyui", "priority": 50, "payload": { "prompt": "a cat" },
        "created_at": created, "status": "pending", "timestamp": "<ms>",
    });
    sheet.form("8.2", "`job_submitted`", &heard.one("job_submitted"), &message);

    let again = submit(&broker, job("a-1").priority(99)).await;
    sheet.eq("8.2", "a known id is not doubled", &again, &vec![Submission::Known("a-1".parse().unwrap())]);
    sheet.eq("3.1", "and not changed", &server.hash("job:a-1").await["priority"], &"50".into());

    let needs = broker::Requirements::read(&json!({
        "hardware": { "gpu_memory_gb": 16 }, "models": ["sdxl"], "isolation": "strict",
        "has": { "region": "eu", "cuda": { ">=": 12 }, "tags": ["x", "y"] },
        "not": [{ "has": { "slow": true } }, { "hardware": { "gpu_memory_gb": 80 } }],
    }));
    let rich = job("a-2").requirements(needs.unwrap()).customer("anna".parse().unwrap()).max_attempts(5);
    submit(&broker, rich.priority(9)).await;
    let requirements = json!({
        "positive_requirements": {
            "hardware": { "gpu_memory_gb": 16 }, "models": ["sdxl"], "customer_isolation": "strict",
            "region": "eu", "cuda": 12, "tags": ["x", "y"],
        },
        "negative_requirements": { "slow": true, "hardware": { "gpu_memory_gb": 80 } },
    });
    sheet.form("5.2", "requirements", &server.member("job:a-2", "requirements").await, &requirements);
    let hash = server.hash("job:a-2").await;
    let fields = ["customer_id", "max_retries", "priority"].map(|it| hash[it].as_str());
    sheet.eq("3.1", "fields with a value", &fields, &["anna", "5", "9"]);
    let heard = ear.heard().await.one("job_submitted");
    sheet.form("8.2", "requirements in the message", &heard["requirements"], &requirements);
    sheet.eq("8.2", "the customer in the message", &heard["customer_id"], &json!("anna"));
    Some(())
}

pub async fn a_step_of_a_workflow_is_announced(sheet: &Sheet) -> Option<()> {
    let server = Server::start().await?;
    let (broker, ear) = (server.legacy().await, server.listen().await);
    let step =
        |step| Workflow { id: "wf-1".parse().unwrap(), step: Some(step), steps: Some(2), routed: false };
    submit(&broker, job("step-1").workflow(step(1))).await;
    let heard = ear.heard().await;
    let order: Vec<&str> = heard.0.iter().map(|(channel, _)| channel.as_str()).collect();
    sheet.eq("8.2", "the workflow is told first", &order, &vec!["workflow_submitted", "job_submitted"]);
    let message = json!({
        "workflow_id": "wf-1", "first_job_id": "step-1", "total_steps": 2, "service_required": "comfyui",
        "workflow_type": "<text>", "message": "<text>", "timestamp": "<ms>",
    });
    sheet.form("8.2", "`workflow_submitted`", &heard.one("workflow_submitted"), &message);
    let submitted = heard.one("job_submitted");
    sheet.eq("8.2", "the workflow", &submitted["workflow_id"], &json!("wf-1"));
    sheet.eq(
        "8.2",
        "the step",
        &[&submitted["current_step"], &submitted["total_steps"]],
        &[&json!(1), &json!(2)],
    );
    let hash = server.hash("job:step-1").await;
    let fields = ["workflow_id", "current_step", "total_steps"].map(|it| hash[it].as_str());
    sheet.eq("3.1", "the fields of a step", &fields, &["wf-1", "1", "2"]);
    submit(&broker, job("step-2").workflow(step(2))).await;
    sheet.eq("8.2", "only the first step tells", &ear.heard().await.on("workflow_submitted").len(), &0);
    Some(())
}

pub async fn what_the_wire_cannot_say_is_refused(sheet: &Sheet) -> Option<()> {
    let server = Server::start().await?;
    let broker = server.legacy().await;
    let needs =
        broker::Requirements::read(&json!({ "any": [{ "models": ["a"] }, { "models": ["b"] }] })).unwrap();
    let second = std::time::Duration::from_secs(1);
    let whole = job("a-1").delay(second).timeout(second).result_ttl(second).requirements(needs);
    let whole = whole.limit_key("k".parse().unwrap()).idempotency_key("k".parse().unwrap());
    let Err(Error::Refused { refusals, .. }) = broker.submit(&[job("a-0"), whole]).await else {
        sheet.is("3.1", "a job that cannot be said is refused", false);
        return Some(());
    };
    let at: Vec<&str> = refusals.iter().map(|it| it.at.as_str()).collect();
    let expected = vec![
        "/delay_ms",
        "/timeout_ms",
        "/result_ttl_ms",
        "/limit_key",
        "/idempotency_key",
        "/requirements/any",
    ];
    sheet.eq("3.1", "with every reason", &at, &expected);
    sheet.eq("8.2", "and no job of the call is written", &server.keys("*").await, &vec![]);
    sheet.is("3.3", "there is no pause", matches!(broker.pause(true).await, Err(Error::Wire(_))));
    Some(())
}
