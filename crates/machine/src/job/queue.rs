//! Which queue is meant, and the way from a question to an answer.

use std::process::ExitCode;

use broker::{Any, Broker as _, Error, JobId, QueueName, Settings, Status, Wire, legacy};
use planner::{Redactor, Told};
use serde::Serialize;
use spec::notes::{Code, Exit, Fault, Finding, Located};
use spec::source::{Place, SourceText};
use worker::Vars;

use crate::codes;
use crate::say::{self, Common};

/// Which queue, and how to answer: what every verb takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct At {
    /// The Redis of the queue; left out, `REDIS_URL`, then `HUB_REDIS_URL`. With a password, use a variable: arguments can
    /// be read by everyone on the machine
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// The queue; left out, `JOB_QUEUE`, then `jobs`
    #[arg(long, value_name = "NAME")]
    queue: Option<QueueName>,
    /// `native`, or `legacy` for the queue of the TypeScript system; left out, `BROKER`, then what the address says
    #[arg(long, value_name = "WIRE")]
    broker: Option<Wire>,
    #[command(flatten)]
    pub(crate) common: Common,
    /// See [`Self::with_budget`].
    #[arg(skip)]
    byte_budget: Option<u64>,
}

/// A queue that was found, and what must not be told of its address.
pub(crate) struct Queue {
    pub(crate) broker: Any,
    pub(crate) name: QueueName,
    pub(super) redactor: Redactor,
    /// Where its address comes from.
    from: Place,
}

/// An address, and where it comes from.
struct Address {
    url: String,
    from: &'static str,
}

/// Everything that says which queue is meant.
struct Meant {
    name: QueueName,
    address: Address,
    /// What takes the place of its name on the wire of the TypeScript system.
    legacy: Option<legacy::Settings>,
}

/// Nothing says where the queue is.
#[derive(Clone, Debug, thiserror::Error)]
#[error("nothing says where the queue's Redis is: neither `--redis`, `REDIS_URL` nor `HUB_REDIS_URL` is set")]
struct NoAddress;

impl Fault for NoAddress {
    fn code(&self) -> Code {
        codes::NO_ADDRESS
    }
    fn fix(&self) -> String {
        "export REDIS_URL=redis://127.0.0.1:6379/0, with your own address".into()
    }
}

impl At {
    /// The queue of the TypeScript system that the environment names.
    pub(crate) fn legacy(common: Common) -> Self {
        Self { broker: Some(Wire::Legacy), common, ..Self::default() }
    }

    /// The same for who submits: bytes of documents that unfinished jobs may have together.
    pub(super) fn with_budget(&self, bytes: u64) -> Self {
        Self { byte_budget: Some(bytes), ..self.clone() }
    }

    /// Asks the queue something and prints the answer.
    pub(crate) fn ask<T: Serialize>(
        &self,
        ask: impl AsyncFnOnce(&Queue) -> Result<Told<T>, Vec<Finding>>,
    ) -> ExitCode {
        self.common.say(self.told(ask))
    }

    /// Asks the queue something.
    pub(super) fn told<T: Serialize>(
        &self,
        ask: impl AsyncFnOnce(&Queue) -> Result<Told<T>, Vec<Finding>>,
    ) -> Told<T> {
        let Meant { name, address, legacy } = match self.read() {
            Ok(found) => found,
            Err(findings) => return Told::failed(findings, Redactor::default()),
        };
        let redactor = knowing(&address.url);
        let from = SourceText::guarded(address.from, "").whole();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a thread can wait");
        let answered = runtime.block_on(async {
            let url = Wire::of(&address.url).1;
            let mut settings = Settings::new(name.clone());
            settings.byte_budget = self.byte_budget.unwrap_or(settings.byte_budget);
            let connected = match legacy {
                Some(legacy) => Any::legacy(url, legacy).await,
                None => Any::native(url, settings).await,
            };
            let broker = connected.map_err(|error| findings(error, Some(&from)))?;
            ask(&Queue { broker, name, redactor: redactor.clone(), from }).await
        });
        answered.unwrap_or_else(|findings| Told::failed(findings, redactor))
    }

    /// What flags and environment say, or everything that is wrong with them.
    fn read(&self) -> Result<Meant, Vec<Finding>> {
        let environment = say::world().environment;
        let mut vars = Vars::new(&*environment);
        let flag = self.redis.clone().map(|url| Address { url, from: "--redis" });
        let variable = |vars: &mut Vars<'_>, from| {
            vars.secret(from).map(|url| Address { url: url.expose().clone(), from })
        };
        let address = flag
            .or_else(|| variable(&mut vars, "REDIS_URL"))
            .or_else(|| variable(&mut vars, "HUB_REDIS_URL"));
        let queue = self.queue.clone().or_else(|| vars.parsed("JOB_QUEUE", "the name of a queue"));
        let wire = self.broker.or_else(|| vars.parsed("BROKER", "`native` or `legacy`"));
        let machine = vars.parsed("MACHINE_ID", "the name of a machine");
        vars.finish()?;
        let address = address.ok_or_else(|| vec![Finding::error(Located::nowhere(NoAddress))])?;
        let name = queue.unwrap_or_else(|| "jobs".parse().expect("`jobs` is the name of a queue"));
        let wire = wire.or(Wire::of(&address.url).0).unwrap_or_default();
        // Nothing that is asked from here is said in the name of a machine.
        let machine = machine.unwrap_or_else(|| "roster".parse().expect("`roster` is the name of a machine"));
        let legacy = (wire == Wire::Legacy).then(|| legacy::Settings::new(machine));
        Ok(Meant { name, address, legacy })
    }
}

impl Queue {
    /// An answer without findings.
    pub(crate) fn answer<T>(&self, result: T, out: String, talk: String) -> Told<T> {
        let (exit, findings, redactor) = (Exit::Ok, vec![], self.redactor.clone());
        Told { result: Some(result), out, talk, exit, findings, redactor }
    }

    /// Everything that an error of the broker says.
    pub(crate) fn findings(&self, error: Error) -> Vec<Finding> {
        findings(error, Some(&self.from))
    }

    /// A job, if it is known.
    pub(super) async fn status(&self, id: &JobId) -> Result<Option<Status>, Vec<Finding>> {
        self.broker.status(id).await.map_err(|it| self.findings(it))
    }
}

/// That nobody knows such a job.
pub(super) fn unknown(id: &JobId) -> Finding {
    Finding::error(Located::nowhere(Error::Unknown { id: id.clone() }))
}

/// Everything that an error of the broker says, each reason by itself; what is about the address, at its place.
fn findings(error: Error, from: Option<&Place>) -> Vec<Finding> {
    let place = |it: Finding| Finding { place: from.cloned(), ..it };
    match error {
        Error::Refused { refusals, .. } => spec::notes::errors(refusals.into_iter().map(Located::nowhere)),
        Error::Unknown { .. } | Error::Full { .. } | Error::Foreign { .. } => {
            vec![Finding::error(Located::nowhere(error))]
        }
        _ => vec![place(Finding::error(Located::nowhere(error)))],
    }
}

/// Knows an address and the password in it, as it stands there and as it is meant.
fn knowing(url: &str) -> Redactor {
    let mut redactor = Redactor::default();
    let after = url.split_once("://").map_or(url, |(_, rest)| rest);
    if let Some((login, _)) = after.rsplit_once('@') {
        let password = login.split_once(':').map_or(login, |(_, password)| password);
        redactor.learn(login);
        redactor.learn(password);
        redactor.learn(&decoded(password));
        redactor.learn(url);
    }
    redactor
}

/// A text without its percent-encoding; what is not encoded well is left as it is.
fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|it| std::str::from_utf8(it).ok());
        let byte = digits.filter(|_| *first == b'%').and_then(|it| u8::from_str_radix(it, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = &after[if byte.is_some() { 2 } else { 0 }..];
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_in_every_form() {
        for url in ["redis://anna:can%40ary@hub:6379/0", "rediss://:can%40ary@hub"] {
            let told = knowing(url).text(&format!("{url} can%40ary can@ary hub"));
            assert!(!told.contains("ary") && told.ends_with("hub"), "{told}");
        }
        assert_eq!(
            knowing("redis://127.0.0.1:6379").text("redis://127.0.0.1:6379"),
            "redis://127.0.0.1:6379"
        );
        assert_eq!(decoded("%4"), "%4");
        assert_eq!(decoded("%zz%41"), "%zzA");
    }
}
