//! `bench broker`: the job queue on a Redis of its own, beside the least that any queue on Redis has to do.

/// What of it, and how much
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Smaller backlogs and fewer rounds: under a minute, and too short to be quoted
    #[arg(long)]
    quick: bool,
}

#[cfg(feature = "e2e")]
mod server;

/// Prints the table as Markdown on stdout. `false` when a limit is missed.
#[cfg(feature = "e2e")]
pub(super) fn run(args: &Args) -> Result<bool, String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let mut server = server::Server::start(false).await?;
        let version = server.info("server", "redis_version").await?;
        server.connect().await?;
        println!("Redis {version} at {}, quick: {}", server.url, args.quick);
        Ok(true)
    })
}
