//! One build: the context, the engine, and what came of it.

use std::{collections::HashMap, time::Instant};

use bollard::{
    Docker, body_full,
    models::{BuildInfo, BuildInfoAux},
    query_parameters::{BuildImageOptionsBuilder, BuilderVersion},
};
use futures_util::StreamExt;

use super::{Build, context, engine, layers, progress::Progress};

/// Builds one target and prints its layers.
///
/// # Errors
///
/// No engine, no binary, an unknown target, or the step that failed with what it printed.
pub(super) async fn run(args: &Build) -> Result<(), String> {
    context::known(&args.target)?;
    let docker = engine().await?;
    let image = image(&docker, args).await?;
    let history = docker.image_history(&image).await.map_err(|error| format!("{image}: {error}"))?;
    say!("{}", layers::table(&image, &layers::layers(history)).trim_end());
    Ok(())
}

/// Builds one target and returns the image's name.
pub(super) async fn image(docker: &Docker, args: &Build) -> Result<String, String> {
    let context = match &args.binary {
        _ if args.from_source => context::source()?,
        // Redis carries none of our code.
        _ if args.target == "redis" => context::prebuilt(None)?,
        Some(it) => context::prebuilt(Some(it))?,
        None => context::prebuilt(Some(&super::released()?))?,
    };
    let name = args.tag.clone().unwrap_or_else(|| format!("roster-{}:latest", args.target));
    let binary = if args.from_source { "compiled" } else { "prebuilt" };
    let mut arguments = HashMap::from([("BINARY", binary)]);
    arguments.extend(args.base_image.as_deref().map(|it| ("DEBIAN_IMAGE", it)));
    arguments.extend(args.rust_image.as_deref().map(|it| ("RUST_IMAGE", it)));
    let options = BuildImageOptionsBuilder::default()
        .dockerfile(context::DOCKERFILE)
        .t(&name)
        .target(&args.target)
        .buildargs(&arguments)
        .nocache(args.no_cache)
        .version(BuilderVersion::BuilderBuildKit)
        .session(&format!("roster-{}", std::process::id()))
        .build();
    let began = Instant::now();
    let mut progress = Progress::new(args.verbose);
    let mut answers = docker.build_image(options, None, Some(body_full(context.into())));
    while let Some(answer) = answers.next().await {
        let answer = answer.map_err(|error| progress.failure(&error.to_string()))?;
        if let BuildInfo { aux: Some(BuildInfoAux::BuildKit(status)), .. } = answer {
            for line in progress.hear(status) {
                eprintln!("{line}");
            }
        }
    }
    eprintln!("image: {name} built in {:.1} s", began.elapsed().as_secs_f64());
    Ok(name)
}
