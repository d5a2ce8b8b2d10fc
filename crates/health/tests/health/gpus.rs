//! The GPUs of this machine, if it has any, by NVIDIA's driver.

use health::{GpuTelemetry as _, Nvml};

#[test]
fn the_driver_tells_what_each_gpu_does() {
    let Ok(mut nvml) = Nvml::load() else { return println!("not run: there is no NVIDIA driver") };
    let began = std::time::Instant::now();
    let gpus = nvml.read();
    println!("{} GPUs in {:?}: {gpus:#?}", gpus.len(), began.elapsed());
    for (at, gpu) in gpus.iter().enumerate() {
        assert_eq!(gpu.index as usize, at);
        assert_eq!(gpu.fault, None);
        let reading = gpu.reading.unwrap();
        assert!(gpu.uuid.as_ref().is_some_and(|it| it.starts_with("GPU-")) && !gpu.name.is_empty());
        assert!(reading.memory_used <= gpu.memory_total && gpu.memory_total > 0);
        assert!(reading.utilisation <= 100 && (1..120).contains(&reading.temperature));
    }
    assert_eq!(nvml.read().len(), gpus.len(), "it can be asked again");
}
