//! The closed list of what can happen.

macro_rules! kinds {
    ($($variant:ident = $name:literal,)+) => {
        /// What happened: the noun, then the verb.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventKind { $(#[doc = $name] $variant,)+ }

        impl EventKind {
            /// Every kind.
            pub const ALL: &'static [EventKind] = &[$(EventKind::$variant,)+];

            /// The name in the stream; never changed once released.
            pub fn name(self) -> &'static str {
                match self { $(EventKind::$variant => $name,)+ }
            }
        }
    };
}

kinds! {
    MetastoreCreate = "metastore.create",
    AuditLogErase = "audit_log.erase",
    SigningKeyAdopt = "signing_key.adopt",
    CatalogCreate = "catalog.create",
    CatalogUpdate = "catalog.update",
    CatalogDelete = "catalog.delete",
    SchemaCreate = "schema.create",
    SchemaUpdate = "schema.update",
    SchemaDelete = "schema.delete",
    OwnerSet = "owner.set",
    PrincipalCreate = "principal.create",
    GroupMemberAdd = "group_member.add",
    GroupMemberRemove = "group_member.remove",
    TokenCreate = "token.create",
    TokenRevoke = "token.revoke",
    TableDeclare = "table.declare",
    TableUpdate = "table.update",
    TableDelete = "table.delete",
    TableCreate = "table.create",
    TableAppend = "table.append",
    TableOverwrite = "table.overwrite",
    TableCompact = "table.compact",
    TableReplace = "table.replace",
    TableVacuum = "table.vacuum",
    TableAdopt = "table.adopt",
    TablePinAdd = "table_pin.add",
    TablePinRemove = "table_pin.remove",
    OperationBegin = "operation.begin",
    OperationRevert = "operation.revert",
    ExperimentCreate = "experiment.create",
    ExperimentUpdate = "experiment.update",
    ExperimentDelete = "experiment.delete",
    ExperimentRestore = "experiment.restore",
    ExperimentTagSet = "experiment_tag.set",
    ExperimentTagDelete = "experiment_tag.delete",
    RunCreate = "run.create",
    RunUpdate = "run.update",
    RunDelete = "run.delete",
    RunRestore = "run.restore",
    RunLog = "run.log",
    RunTagSet = "run_tag.set",
    RunTagDelete = "run_tag.delete",
    RunInputs = "run.inputs",
    RunOutputs = "run.outputs",
    LoggedModelCreate = "logged_model.create",
    LoggedModelUpdate = "logged_model.update",
    LoggedModelDelete = "logged_model.delete",
    LoggedModelTagSet = "logged_model_tag.set",
    LoggedModelTagDelete = "logged_model_tag.delete",
    LoggedModelParams = "logged_model.params",
    ArtifactPut = "artifact.put",
    ArtifactDelete = "artifact.delete",
    UploadBegin = "upload.begin",
    UploadPart = "upload.part",
    UploadAbort = "upload.abort",
    ModelCreate = "model.create",
    ModelUpdate = "model.update",
    ModelDelete = "model.delete",
    ModelTagSet = "model_tag.set",
    ModelTagDelete = "model_tag.delete",
    ModelVersionCreate = "model_version.create",
    ModelVersionFinalize = "model_version.finalize",
    ModelVersionUpdate = "model_version.update",
    ModelVersionDelete = "model_version.delete",
    ModelVersionStage = "model_version.stage",
    ModelVersionTagSet = "model_version_tag.set",
    ModelVersionTagDelete = "model_version_tag.delete",
    AliasMove = "alias.move",
    ModelGovern = "model.govern",
    WebhookCreate = "webhook.create",
    WebhookUpdate = "webhook.update",
    WebhookDelete = "webhook.delete",
    ImportTake = "import.take",
    GateReportCreate = "gate_report.create",
    LineageRecord = "lineage.record",
    JobQueue = "job.queue",
    JobStart = "job.start",
    JobRetry = "job.retry",
    JobCancel = "job.cancel",
    JobEnd = "job.end",
    CommandDeclare = "command.declare",
    CommandDelete = "command.delete",
    FeatureTableDeclare = "feature_table.declare",
    FeatureTablePublish = "feature_table.publish",
    TrainingSetCreate = "training_set.create",
    TrainingSetDelete = "training_set.delete",
    MonitorDeclare = "monitor.declare",
    MonitorDelete = "monitor.delete",
    MonitorPlan = "monitor.plan",
    MonitorCompute = "monitor.compute",
    MonitorTrigger = "monitor.trigger",
    AlertOpen = "alert.open",
    AlertUpdate = "alert.update",
    AlertAcknowledge = "alert.acknowledge",
    AlertResolve = "alert.resolve",
    EndpointCreate = "endpoint.create",
    EndpointUpdate = "endpoint.update",
    EndpointFollow = "endpoint.follow",
    EndpointDelete = "endpoint.delete",
}

#[cfg(test)]
mod tests {
    use super::EventKind;

    #[test]
    fn names_are_noun_dot_verb_and_unique() {
        let mut names: Vec<_> = EventKind::ALL.iter().map(|kind| kind.name()).collect();
        assert!(names.iter().all(|name| name.split('.').count() == 2), "{names:?}");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), EventKind::ALL.len());
    }
}
