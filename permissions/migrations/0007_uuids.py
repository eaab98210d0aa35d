import uuid

from django.db import migrations, models

from servicevault.database_ids import ids_become_uuids

ID = models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)


class Migration(migrations.Migration):
    """Roles and tokens are named in addresses and answers: their ids are UUIDs, like all others (C3)."""

    dependencies = [
        ("permissions", "0006_audit_chain"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            [ids_become_uuids("permissions_role"), ids_become_uuids("permissions_apitoken")],
            [
                migrations.AlterField(model_name="role", name="id", field=ID),
                migrations.AlterField(model_name="apitoken", name="id", field=ID),
            ],
        ),
    ]
