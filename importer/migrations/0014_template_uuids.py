import uuid

from django.db import migrations, models

from servicevault.database_ids import ids_become_uuids


class Migration(migrations.Migration):
    """Import templates are named in addresses: their ids are UUIDs, like all others (C3)."""

    dependencies = [
        ("importer", "0013_live_sequence"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            [ids_become_uuids("importer_importtemplate")],
            [
                migrations.AlterField(
                    model_name="importtemplate",
                    name="id",
                    field=models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
            ],
        ),
    ]
