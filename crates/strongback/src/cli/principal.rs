//! `strongback principal` and `strongback group`: who there is, and who belongs together.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::Value as Json;

use super::{
    client::{Remote, segment},
    place::Place,
    printer,
    settings::StoreArgs,
};

const PRINCIPAL_EXAMPLES: &str = "\
Examples:
  strongback principal create ana@example.com
  strongback principal create nightly-training --kind service-principal
  strongback principal create risk-team --kind group
  strongback principal list";

const GROUP_EXAMPLES: &str = "\
Examples:
  strongback group add-member risk-team ana@example.com
  strongback group add-member admins ana@example.com
  strongback group remove-member risk-team ana@example.com
  strongback group members risk-team --json

Members of the group admins are administrators.";

/// Create and list principals
#[derive(Debug, Subcommand)]
pub(super) enum PrincipalCommand {
    /// Create a user, a service principal or a group; works without a running server
    #[command(after_help = PRINCIPAL_EXAMPLES)]
    Create(CreateArgs),
    /// List principals and their groups
    #[command(after_help = PRINCIPAL_EXAMPLES)]
    List(ListArgs),
}

/// Change and list the members of groups
#[derive(Debug, Subcommand)]
pub(super) enum GroupCommand {
    /// Add a member to a group; works without a running server
    #[command(after_help = GROUP_EXAMPLES)]
    AddMember(AddMemberArgs),
    /// Take a member out of a group
    #[command(after_help = GROUP_EXAMPLES)]
    RemoveMember(MemberArgs),
    /// List the members of a group
    #[command(after_help = GROUP_EXAMPLES)]
    Members(MembersArgs),
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// An e-mail or a name
    name: String,
    /// What kind
    #[arg(long, value_enum, default_value_t = Kind::User)]
    kind: Kind,
    /// Make it an administrator
    #[arg(long)]
    admin: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    User,
    #[value(alias = "service_principal")]
    ServicePrincipal,
    Group,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ServicePrincipal => "service_principal",
            Self::Group => "group",
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(super) struct AddMemberArgs {
    #[command(flatten)]
    member: MemberArgs,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, Args)]
pub(super) struct MemberArgs {
    /// The group
    group: String,
    /// A user, a service principal or another group
    member: String,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
pub(super) struct MembersArgs {
    /// The group
    group: String,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(super) fn run(command: PrincipalCommand) -> anyhow::Result<ExitCode> {
    match command {
        PrincipalCommand::Create(args) => {
            let place = Place::open(args.store, &args.remote)?;
            let made = place.principal_create(&args.name, args.kind.name(), args.admin)?;
            if args.json {
                printer::json(&made)?;
            } else {
                let next = match args.kind {
                    Kind::Group => {
                        format!("Its first member: strongback group add-member {} NAME", args.name)
                    }
                    _ => format!("Its first token: strongback token create --principal {}", args.name),
                };
                printer::talk(&format!("Created {}. {next}", args.name));
            }
        }
        PrincipalCommand::List(args) => list(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn run_group(command: GroupCommand) -> anyhow::Result<ExitCode> {
    match command {
        GroupCommand::AddMember(AddMemberArgs { member: args, store }) => {
            Place::open(store, &args.remote)?.group_member_add(&args.group, &args.member)?;
            printer::talk(&format!("{} is a member of {}.", args.member, args.group));
        }
        GroupCommand::RemoveMember(args) => {
            let path = format!("/api/1.0/groups/{}/members/{}", segment(&args.group), segment(&args.member));
            args.remote.client()?.send::<Json>(
                Method::DELETE,
                &path,
                &Json::Object(serde_json::Map::new()),
            )?;
            printer::talk(&format!("{} is no member of {} any more.", args.member, args.group));
        }
        GroupCommand::Members(args) => {
            let path = format!("/api/1.0/groups/{}/members", segment(&args.group));
            let members = args.remote.client()?.list(&path, &[], "members")?;
            if args.json {
                printer::json(&members)?;
            } else {
                members.iter().filter_map(Json::as_str).for_each(printer::data);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(args: &ListArgs) -> anyhow::Result<()> {
    let found = args.remote.client()?.list("/api/1.0/principals", &[], "principals")?;
    if args.json {
        return printer::json(&found);
    }
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|one| {
            let groups: Vec<&str> =
                one["groups"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
            let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
            vec![text("name"), text("kind"), groups.join(", ")]
        })
        .collect();
    printer::table(&["NAME", "KIND", "GROUPS"], &rows);
    Ok(())
}
