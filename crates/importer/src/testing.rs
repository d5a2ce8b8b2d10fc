//! An offer as the shipped mapping makes it, in as much as tests need.

use std::collections::BTreeSet;

use crate::{Offer, OfferedPort, OfferedService, OfferedWorker, Published};
use spec::ids::EnvKey;
use spec::model::{Binding, EnvNeed};

/// A service and its worker: name, binding, base port and its variable, and what it reads.
type Row = (&'static str, Binding, Option<(u16, &'static str)>, Vec<EnvNeed>);

/// Workers, services and the machine's interface.
pub(crate) fn offer() -> Offer {
    let key = |name: &str| name.parse::<EnvKey>().unwrap();
    let need = |name: &str, required, secret| EnvNeed { key: key(name), required, secret };
    let mut offer = Offer::default();
    let rows: [Row; 6] = [
        ("comfyui", Binding::Gpu, Some((8188, "COMFYUI_BASE_PORT")), vec![need("HF_TOKEN", false, true)]),
        ("comfyui-remote", Binding::Shared, None, vec![need("COMFYUI_REMOTE_URL", true, false)]),
        ("a1111", Binding::Gpu, Some((7860, "A1111_BASE_PORT")), vec![]),
        (
            "openai",
            Binding::Shared,
            None,
            vec![
                need("OPENAI_API_KEY", true, true),
                need("OPENAI_BASE_URL", false, false),
                need("OPENAI_IMAGE_MODEL", false, false),
            ],
        ),
        ("replicate", Binding::Shared, None, vec![need("REPLICATE_API_TOKEN", true, true)]),
        ("simulation", Binding::Cpu, Some((8299, "SIMULATION_BASE_PORT")), vec![]),
    ];
    for (name, binding, port, env) in rows {
        let port =
            port.map(|(base, variable)| OfferedPort { base, increment: 1, variable: Some(key(variable)) });
        let volumes = if name == "comfyui" {
            BTreeSet::from(["/workspace/models".to_owned()])
        } else {
            BTreeSet::new()
        };
        offer.services.insert(name.parse().unwrap(), OfferedService { env, port, volumes });
        let worker = OfferedWorker { service: name.parse().unwrap(), binding, env: Vec::new() };
        offer.workers.insert(name.parse().unwrap(), worker);
    }
    for (app, pool, secret, required) in [
        ("REDIS_URL", "REDIS_URL", false, true),
        ("LOG_LEVEL", "MACHINE_LOG_LEVEL", false, false),
        ("MACHINE_ENVIRONMENT", "MACHINE_ENVIRONMENT", false, false),
        ("MACHINE_STATUS_INTERVAL_S", "MACHINE_STATUS_INTERVAL_S", false, false),
        ("MACHINE_HEALTH_TOKEN", "MACHINE_HEALTH_TOKEN", true, false),
    ] {
        offer.published.insert(key(app), Published { pool: key(pool), secret, required });
    }
    offer
}
