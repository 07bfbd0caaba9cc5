"""boto3: a named profile of ``~/.aws``, with its credentials."""

import boto3

credentials = boto3.Session(profile_name="prod").get_credentials()
credentials.get_frozen_credentials()
