"""What clients see of the service, case by case."""
