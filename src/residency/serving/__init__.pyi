from .app import create_app as create_app
from .app import serve as serve
from .audit import Audit as Audit
from .grants import load_grants as load_grants
from .grants import make_api_key as make_api_key
