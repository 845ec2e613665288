"""What is published and what is free: snapshots, layout, publication, the live map."""
