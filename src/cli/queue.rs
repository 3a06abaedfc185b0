//! The options of those who take part in a queue.

use cic_kiosk::config::{Broker, Config, Name};
use clap::Args;

use super::{Failure, usage_error};
use crate::queue::{Access, name_of_this};

/// Where the queue is, and as whom.
#[derive(Args)]
#[command(next_help_heading = "Queue")]
pub struct QueueArgs {
    /// Broker of a queue that any number of machines share: mqtt://HOST[:PORT] or mqtts://HOST[:PORT].
    /// User, certificates and credentials are those of the configuration's [mqtt]
    #[arg(long, value_name = "URL")]
    queue: Option<Broker>,

    /// Name in the queue, which no other part of it may have [default: the machine's, and what it is]
    #[arg(long, value_name = "NAME", requires = "queue")]
    name: Option<Name>,
}

impl QueueArgs {
    /// Whether there is a queue.
    pub fn is_meant(&self) -> bool {
        self.queue.is_some()
    }

    /// How to take part in it.
    pub fn access(&self, config: &mut Config, role: &str) -> Result<Access, Failure> {
        if let Some(broker) = &self.queue {
            config.mqtt.broker = broker.clone();
        }
        config.check().map_err(|error| usage_error(&error.to_string()))?;
        let name = self.name.clone().unwrap_or_else(|| name_of_this(role));
        Access::new(config, name)
    }
}
