"""openstacksdk: a named cloud of ``clouds.yaml``, and a session."""

from openstack.config import OpenStackConfig

session = OpenStackConfig().get_one("prod").get_session()
