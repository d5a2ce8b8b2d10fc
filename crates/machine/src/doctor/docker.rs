//! The engine that runs containers, and whether it can give them cards.

use std::time::Duration;

use bollard::Docker;
use bollard::models::{SystemInfo, SystemVersion};
use tokio::time::timeout;

use super::Check;
use super::fault::DoctorFault;

/// An engine that takes longer does not answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where descriptions of devices are, unless the engine says otherwise.
const CDI: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

/// Looks at the engine; with `gpus`, the machine needs cards.
pub(super) async fn check(gpus: bool) -> Check {
    const NAME: &str = "docker";
    let (version, info) = match asked().await {
        Ok(it) => it,
        // A machine can run as a plain process.
        Err(why) => return Check::new(NAME, "no engine answers").advice(DoctorFault::NoEngine { why }),
    };
    let runtimes: Vec<&String> = info.runtimes.iter().flatten().map(|(name, _)| name).collect();
    let by_runtime = runtimes.iter().any(|it| it.as_str() == "nvidia");
    let by_cdi = described(&info);
    let number = version.version.unwrap_or_else(|| "of no version".into());
    let cards = match (by_runtime, by_cdi) {
        (true, true) => ", NVIDIA by its runtime and by CDI",
        (true, false) => ", NVIDIA by its runtime",
        (false, true) => ", NVIDIA by CDI",
        (false, false) => "",
    };
    let check = Check::new(NAME, format!("engine {number}{cards}"));
    if gpus && !by_runtime && !by_cdi { check.advice(DoctorFault::NoNvidia) } else { check }
}

async fn asked() -> Result<(SystemVersion, SystemInfo), String> {
    let docker = Docker::connect_with_defaults().map_err(|it| it.to_string())?;
    let ask = async {
        let version = docker.version().await.map_err(|it| it.to_string())?;
        let info = docker.info().await.map_err(|it| it.to_string())?;
        Ok((version, info))
    };
    timeout(PATIENCE, ask).await.map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))?
}

/// Whether a description of NVIDIA's devices is where the engine looks for one.
fn described(info: &SystemInfo) -> bool {
    let told = info.cdi_spec_dirs.clone().unwrap_or_else(|| CDI.map(str::to_owned).into());
    let files = told.iter().filter_map(|it| std::fs::read_dir(it).ok()).flatten().flatten();
    let mut names = files.map(|it| it.file_name().to_string_lossy().into_owned());
    names.any(|it| it.contains("nvidia"))
}
