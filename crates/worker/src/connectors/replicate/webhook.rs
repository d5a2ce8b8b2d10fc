//! Whether a webhook is from Replicate.
//!
//! Source: replicate.com/docs/topics/webhooks/verify-webhook (the scheme of Svix and Standard Webhooks): HMAC-SHA256 of
//! `id.timestamp.body`, with the base64 part of `whsec_…` as the key.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use spec::env::Secret;

/// The oldest and the youngest that a webhook may be, by our clock: against one that is sent again.
const AGE: Duration = Duration::from_mins(5);

/// Why a webhook is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// The secret is not of its form.
    #[error("the webhook secret is not `whsec_` and base64")]
    Secret,
    /// Its time is no time, or too long ago or ahead.
    #[error("the webhook's time is too far from now")]
    Time,
    /// None of its signatures is right.
    #[error("no signature of the webhook is right")]
    Signature,
}

/// Whether a webhook with these headers and this body is from Replicate, `now` seconds after the Unix epoch. Signatures
/// are compared in constant time.
pub fn verify(
    secret: &Secret<String>,
    (id, timestamp, signatures): (&str, &str, &str),
    body: &[u8],
    now: u64,
) -> Result<(), Unsigned> {
    let key = secret.expose().strip_prefix("whsec_").and_then(|it| BASE64_STANDARD.decode(it).ok());
    let mac = key.and_then(|it| Hmac::<Sha256>::new_from_slice(&it).ok()).ok_or(Unsigned::Secret)?;
    let sent: u64 = timestamp.parse().map_err(|_| Unsigned::Time)?;
    if now.abs_diff(sent) > AGE.as_secs() {
        return Err(Unsigned::Time);
    }
    let mut mac = mac;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    let right = |it: &str| {
        let signature = it.strip_prefix("v1,").and_then(|it| BASE64_STANDARD.decode(it).ok());
        signature.is_some_and(|it| mac.clone().verify_slice(&it).is_ok())
    };
    if signatures.split(' ').any(right) { Ok(()) } else { Err(Unsigned::Signature) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the scheme's own documentation (standard-webhooks).
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const GOOD: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const SENT: u64 = 1_614_265_330;

    fn judge(signatures: &str, body: &[u8], now: u64) -> Result<(), Unsigned> {
        let headers = ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", signatures);
        verify(&Secret::new(SECRET.to_owned()), headers, body, now)
    }

    #[test]
    fn only_what_is_signed_and_fresh_is_believed() {
        assert_eq!(judge(GOOD, BODY, SENT), Ok(()));
        assert_eq!(judge(&format!("v1,AAAA v2,{GOOD} {GOOD}"), BODY, SENT + 299), Ok(()));
        assert_eq!(judge(GOOD, b"{}", SENT), Err(Unsigned::Signature));
        assert_eq!(judge("v1,AAAA", BODY, SENT), Err(Unsigned::Signature));
        assert_eq!(judge("", BODY, SENT), Err(Unsigned::Signature));
        assert_eq!(judge(GOOD, BODY, SENT + 301), Err(Unsigned::Time));
        assert_eq!(judge(GOOD, BODY, SENT - 301), Err(Unsigned::Time));
        let secret = Secret::new("whsec".to_owned());
        assert_eq!(verify(&secret, ("i", "1614265330", GOOD), BODY, SENT), Err(Unsigned::Secret));
    }
}
