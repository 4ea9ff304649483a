// SPDX-License-Identifier: MPL-2.0
//! Recordings of whole nodes: stmf, the proxy service and sbd, with initiators.

use super::Player;
use super::input::{Input, InputError};
use super::machinery::Machinery;
use super::node::{Node, NodeReport};
use super::node_step::NodeStep;
use super::output::Common;
use super::service::do_service_step;
use crate::kernel::KernelConfig;
use serde::Serialize;
use std::rc::Rc;

/// What comes of a step of a whole node.
#[derive(Clone, Debug, Serialize)]
pub struct NodeOutput {
    /// What recordings of both kinds tell.
    #[serde(flatten)]
    pub common: Common,
    /// For every attempt of an upcall, whether its thread held the stmf lock.
    pub lock_held: Vec<bool>,
    /// U an attempt of an upcall, I an event that an initiator sees, in order.
    pub order: String,
    /// The rest of the node.
    #[serde(flatten)]
    pub node: NodeReport,
}

/// A node on which nothing is set up.
pub struct NodePlayer {
    machinery: Machinery,
    node: Rc<Node>,
}

impl NodePlayer {
    /// Boots the node.
    pub fn new(config: KernelConfig) -> NodePlayer {
        let machinery = Machinery::boot(config);
        let node = Rc::new(Node::attach(machinery.kernel(), machinery.order()));
        NodePlayer { machinery, node }
    }

    /// The node.
    pub fn machinery(&self) -> &Machinery {
        &self.machinery
    }

    fn do_node_step(&mut self, step: NodeStep) -> Option<String> {
        let (kernel, node) = (self.machinery.kernel().clone(), self.node.clone());
        let duration = step.duration();
        let result = self
            .machinery
            .perform(async move { node.apply(&kernel, &step).await });
        if !duration.is_zero() {
            self.machinery.pass_time(duration);
        }
        result.map(String::from)
    }
}

/// A step of either kind.
enum Step {
    Service(Input),
    Node(NodeStep),
}

impl Step {
    fn parse(line: &str) -> Result<Step, InputError> {
        let value: serde_json::Value = serde_json::from_str(line)?;
        let op = value
            .get("op")
            .and_then(|op| op.as_str())
            .unwrap_or_default();
        if !NodeStep::OPERATIONS.contains(&op) {
            return Ok(Step::Service(Input::parse(line)?));
        }
        let step: NodeStep = serde_json::from_value(value)?;
        step.check()?;
        Ok(Step::Node(step))
    }
}

impl Player for NodePlayer {
    type Output = NodeOutput;

    fn step(&mut self, line: &str) -> Result<NodeOutput, InputError> {
        let common = match Step::parse(line)? {
            Step::Service(Input::LuHold { on }) => {
                let (kernel, node) = (self.machinery.kernel().clone(), self.node.clone());
                let held = self
                    .machinery
                    .perform(async move { node.hold_lus(&kernel, on) });
                self.machinery.outcome(held.map(Ok))
            }
            Step::Service(input) => {
                let result = do_service_step(&mut self.machinery, input)?;
                self.machinery.outcome(result)
            }
            Step::Node(step) => {
                let result = self.do_node_step(step);
                self.machinery.outcome_named(result)
            }
        };
        Ok(NodeOutput {
            lock_held: common.lock_held.clone(),
            common,
            order: self.machinery.order().take(),
            node: self.node.report(self.machinery.kernel()),
        })
    }

    fn has_ended(&self) -> bool {
        self.machinery.ending().is_some()
    }
}
