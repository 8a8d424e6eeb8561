# Backups of the database of `make up` or of compose, by DATABASE_URL or PG_PORT.

##@ Backup
.PHONY: backup restore drill
backup: $(INSTALLED) ## Back the database up into BACKUP_DIR (./backups); ARGS="--keep 7 --encrypt-to age1..."
	@$(AS_OWNER) $(LOCAL) backup $(ARGS)

restore: $(INSTALLED) ## Put a backup in the database's place: ARGS="FILE --replace payments"
	@$(AS_OWNER) $(LOCAL) restore $(ARGS)

drill: $(INSTALLED) ## Restore the newest backup on a temporary server, and audit it; ARGS=FILE
	@$(LOCAL) drill $(ARGS)
