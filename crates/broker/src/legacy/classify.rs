//! What kind of failure a message tells of: the words that the records of failures use, found as that system finds them, by
//! the first of these texts that the lowercased message holds.

/// A kind of failure, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class {
    pub kind: &'static str,
    pub reason: &'static str,
    pub description: &'static str,
}

/// `(kind, description, [(a text in the message, reason)])`, in the order in which they are looked for.
type Row = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const ROWS: &[Row] = &[
    (
        "generation_refusal",
        "The service refused to make this",
        &[
            ("nsfw", "nsfw_content"),
            ("safety", "safety_filter"),
            ("content policy", "policy_violation"),
            ("policy violation", "policy_violation"),
            ("moderation", "policy_violation"),
            ("refused to", "policy_violation"),
        ],
    ),
    (
        "auth_error",
        "The service did not let the worker in",
        &[
            ("invalid api key", "invalid_api_key"),
            ("incorrect api key", "invalid_api_key"),
            ("401", "invalid_api_key"),
            ("unauthorized", "invalid_api_key"),
            ("403", "invalid_api_key"),
            ("forbidden", "invalid_api_key"),
            ("expired", "expired_token"),
        ],
    ),
    (
        "rate_limit",
        "The service takes no more now",
        &[
            ("quota", "daily_quota_exceeded"),
            ("429", "requests_per_minute"),
            ("rate limit", "requests_per_minute"),
            ("too many requests", "requests_per_minute"),
        ],
    ),
    (
        "timeout",
        "It took too long",
        &[("longer than its timeout", "job_timeout"), ("longer than the job's timeout", "job_timeout")],
    ),
    (
        "network_error",
        "The service could not be reached",
        &[
            ("dns", "dns_resolution"),
            ("enotfound", "dns_resolution"),
            ("timed out", "network_timeout"),
            ("timeout", "network_timeout"),
            ("connection", "connection_failed"),
            ("econnrefused", "connection_failed"),
            ("network", "connection_failed"),
        ],
    ),
    (
        "resource_limit",
        "The service ran out of something",
        &[
            ("cuda out of memory", "gpu_memory_full"),
            ("vram", "gpu_memory_full"),
            ("out of memory", "out_of_memory"),
            ("memory", "out_of_memory"),
        ],
    ),
    (
        "service_error",
        "The service failed",
        &[
            ("503", "service_unavailable"),
            ("unavailable", "service_unavailable"),
            ("500", "service_down"),
            ("502", "service_down"),
            ("504", "service_down"),
            ("did not answer", "service_down"),
        ],
    ),
    (
        "validation_error",
        "The job asks for what cannot be done",
        &[
            ("model", "model_not_found"),
            ("missing", "missing_required_field"),
            ("required", "missing_required_field"),
            ("invalid", "invalid_payload"),
            ("payload", "invalid_payload"),
        ],
    ),
    (
        "response_error",
        "The answer of the service could not be read",
        &[("response", "component_error"), ("answer", "component_error")],
    ),
    ("system_error", "Something of the machine failed", &[("gpu", "gpu_error"), ("cuda", "gpu_error")]),
];

const UNKNOWN: Class = Class {
    kind: "system_error",
    reason: "unknown_error",
    description: "It failed in a way that is not known",
};

/// The class of a message.
pub(super) fn class(message: &str) -> Class {
    let message = message.to_lowercase();
    let mut all = ROWS.iter().flat_map(|(kind, description, texts)| {
        texts.iter().map(move |(text, reason)| (text, Class { kind, reason, description }))
    });
    all.find(|(text, _)| message.contains(**text)).map_or(UNKNOWN, |(_, class)| class)
}

#[cfg(test)]
mod tests {
    use super::class;

    #[test]
    fn messages_are_sorted_into_the_kinds_of_that_system() {
        for (message, kind, reason) in [
            ("Blocked by our safety system", "generation_refusal", "safety_filter"),
            ("HTTP 401: bad key", "auth_error", "invalid_api_key"),
            ("429 Too Many Requests", "rate_limit", "requests_per_minute"),
            ("it took longer than its timeout", "timeout", "job_timeout"),
            ("no connection to 127.0.0.1:8188", "network_error", "connection_failed"),
            ("CUDA out of memory", "resource_limit", "gpu_memory_full"),
            ("HTTP 503", "service_error", "service_unavailable"),
            ("no such model", "validation_error", "model_not_found"),
            ("?", "system_error", "unknown_error"),
        ] {
            assert_eq!((class(message).kind, class(message).reason), (kind, reason), "{message}");
        }
    }
}
