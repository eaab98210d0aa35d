from __future__ import annotations

from django.db import migrations, models

REMEMBER = "UPDATE importer_importjob SET by_person = true WHERE created_by_id IS NOT NULL"


class Migration(migrations.Migration):
    dependencies = [
        ("importer", "0009_document_parts"),
    ]

    operations = [
        migrations.AddField(
            model_name="importjob",
            name="by_person",
            field=models.BooleanField(db_default=False, default=False, editable=False),
        ),
        migrations.RunSQL(REMEMBER, migrations.RunSQL.noop),
    ]
